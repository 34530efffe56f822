"""Tests of trees of files on a disk: scanned, kept, sent and received."""
