/* A stand-in for libnvidia-ml.so.1, so that the real binding can be tested on a machine without a GPU.

   Every call reads the file named by $NVML_STUB_FILE anew; a test that rewrites it changes the "hardware" at once.
   Without a readable file the driver counts as not loaded. One statement a line, the rest of a `name` line is the name:

     gpu INDEX TOTAL_MB USED_MB UTIL_PCT TEMP_C POWER_MW LIMIT_MW UUID   one GPU; indexes ascend from 0
     name INDEX NAME WITH BLANKS
     process INDEX PID MEMORY_MB UTIL_PCT     a process on it; memory -1: not known; utilisation -1: no sample
     lost INDEX                               every call about it answers GPU_IS_LOST
     fail INDEX READING CODE                  one reading of it answers CODE (3: not supported); READING is one of
                                              handle uuid name memory utilization temperature power limit ecc processes shares
                                              rows register
     ecc INDEX COUNT                          uncorrected errors; without it ECC is not supported
     worn INDEX                               a broken row of its memory could not be remapped; else rows are supported
     xid INDEX NUMBER                         an Xid error: heard once by each event set that the GPU is registered with
                                              before the line is there; lines are only ever added
     init CODE                                what initialisation answers (9: driver not loaded, 18: version mismatch)
     driver CODE                              what every other call answers
     slow MILLISECONDS                        how long the calls init and count take

   Build: gcc -shared -fPIC -Wl,-soname,libnvidia-ml.so.1; with -DOLD_DRIVER the newer functions are missing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int Result;
typedef void *Device;
typedef unsigned long long U64;
enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NOT_LOADED = 9, TIMEOUT = 10, LOST = 15 };
enum { GPUS = 64, PROCESSES = 512, XIDS = 256, READINGS = 13, TEXT = 128 };

static const char *const READING[READINGS] = {"handle", "uuid",  "name", "memory",    "utilization", "temperature",
                                              "power",  "limit", "ecc",  "processes", "shares", "rows",  "register"};
enum { HANDLE, UUID, NAME, MEMORY, UTILIZATION, TEMPERATURE, POWER, LIMIT, ECC, PROCESS_LIST, SHARES, ROWS, REGISTER };

typedef struct {
  char name[TEXT], uuid[TEXT];
  U64 total, used, ecc;
  unsigned util, temp, power, limit;
  int lost, has_ecc, worn, fail[READINGS];
} Gpu;
typedef struct { unsigned gpu, pid; long long memory; int util; int draws; } Process;
typedef struct { unsigned gpu, number; } Xid;
typedef struct { Gpu gpu[GPUS]; Process process[PROCESSES]; Xid xid[XIDS]; unsigned gpus, processes, xids; int init, driver; long slow; } Host;

static _Thread_local Host host;
static int initialized;

static void statement(char *line) {
  unsigned i, pid, util, temp, power, limit;
  int code, share, at = 0;
  long long memory;
  U64 total, used;
  char word[TEXT];
  line[strcspn(line, "\n")] = 0;
  if (sscanf(line, "gpu %u %llu %llu %u %u %u %u %127s", &i, &total, &used, &util, &temp, &power, &limit, word) == 8 && i < GPUS) {
    Gpu *g = &host.gpu[i];
    g->total = total << 20, g->used = used << 20, g->util = util, g->temp = temp, g->power = power, g->limit = limit;
    strcpy(g->uuid, word);
    if (i >= host.gpus) host.gpus = i + 1;
  } else if (sscanf(line, "name %u %n", &i, &at) == 1 && at && i < GPUS) {
    snprintf(host.gpu[i].name, TEXT, "%s", line + at);
  } else if (sscanf(line, "process %u %u %lld %d", &i, &pid, &memory, &share) == 4 && host.processes < PROCESSES) {
    host.process[host.processes++] = (Process){i, pid, memory, share, 0};
  } else if (sscanf(line, "draw %u %u %lld", &i, &pid, &memory) == 3 && host.processes < PROCESSES) {
    host.process[host.processes++] = (Process){i, pid, memory, -1, 1};
  } else if (sscanf(line, "lost %u", &i) == 1 && i < GPUS) {
    host.gpu[i].lost = 1;
  } else if (sscanf(line, "fail %u %127s %d", &i, word, &code) == 3 && i < GPUS) {
    for (int r = 0; r < READINGS; r++)
      if (!strcmp(word, READING[r])) host.gpu[i].fail[r] = code;
  } else if (sscanf(line, "ecc %u %llu", &i, &total) == 2 && i < GPUS) {
    host.gpu[i].ecc = total, host.gpu[i].has_ecc = 1;
  } else if (sscanf(line, "worn %u", &i) == 1 && i < GPUS) {
    host.gpu[i].worn = 1;
  } else if (sscanf(line, "xid %u %u", &i, &pid) == 2 && i < GPUS && host.xids < XIDS) {
    host.xid[host.xids++] = (Xid){i, pid};
  } else if (sscanf(line, "init %d", &code) == 1) {
    host.init = code;
  } else if (sscanf(line, "driver %d", &code) == 1) {
    host.driver = code;
  } else {
    sscanf(line, "slow %ld", &host.slow);
  }
}

static void look(void) {
  const char *path = getenv("NVML_STUB_FILE");
  FILE *file = path ? fopen(path, "r") : NULL;
  char line[512];
  memset(&host, 0, sizeof host);
  if (!file) {
    host.init = NOT_LOADED;
    return;
  }
  while (fgets(line, sizeof line, file)) statement(line);
  fclose(file);
}

static void dawdle(void) {
  struct timespec left = {host.slow / 1000, host.slow % 1000 * 1000000L};
  if (host.slow) nanosleep(&left, NULL);
}

/* What any call about the whole driver answers before it does its work. */
static Result driver(void) {
  look();
  return initialized ? host.driver : UNINITIALIZED;
}

/* Find the GPU of a handle, or what the call for `reading` answers instead. */
static Result find(Device device, int reading, Gpu **gpu) {
  U64 i = (U64)device - 1;
  Result result = driver();
  if (result) return result;
  if (i >= host.gpus) return INVALID;
  *gpu = &host.gpu[i];
  return (*gpu)->lost ? LOST : (*gpu)->fail[reading];
}
#define GPU(reading)                             \
  Gpu *g;                                        \
  Result failure = find(device, reading, &g);    \
  if (failure) return failure

static Result answer(char *buffer, unsigned size, const char *text) {
  if (strlen(text) + 1 > size) return TOO_SMALL;
  strcpy(buffer, text);
  return OK;
}

Result nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  look();
  dawdle();
  if (!host.init) initialized = 1;
  return host.init;
}
Result nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
Result nvmlShutdown(void) {
  Result result = initialized ? OK : UNINITIALIZED;
  initialized = 0;
  return result;
}
const char *nvmlErrorString(Result result) {
  return result == OK ? "Success" : result == LOST ? "GPU is lost" : result == NOT_SUPPORTED ? "Not Supported" : "Some Error";
}
Result nvmlSystemGetDriverVersion(char *buffer, unsigned size) {
  Result result = driver();
  return result ? result : answer(buffer, size, "999.01-stub");
}
Result nvmlSystemGetCudaDriverVersion_v2(int *version) {
  *version = 13000;
  return driver();
}
Result nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }
Result nvmlDeviceGetCount_v2(unsigned *count) {
  Result result = driver();
  dawdle();
  *count = host.gpus;
  return result;
}
Result nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *found) {
  Device device = (Device)(U64)(index + 1);
  GPU(HANDLE);
  *found = device;
  return OK;
}
Result nvmlDeviceGetName(Device device, char *buffer, unsigned size) {
  GPU(NAME);
  return answer(buffer, size, g->name);
}
Result nvmlDeviceGetUUID(Device device, char *buffer, unsigned size) {
  GPU(UUID);
  return answer(buffer, size, g->uuid);
}
typedef struct { U64 total, free, used; } Memory;
Result nvmlDeviceGetMemoryInfo(Device device, Memory *memory) {
  GPU(MEMORY);
  *memory = (Memory){g->total, g->total - g->used, g->used};
  return OK;
}
typedef struct { unsigned gpu, memory; } Utilization;
Result nvmlDeviceGetUtilizationRates(Device device, Utilization *utilization) {
  GPU(UTILIZATION);
  *utilization = (Utilization){g->util, g->util / 2};
  return OK;
}
Result nvmlDeviceGetTemperature(Device device, int sensor, unsigned *celsius) {
  GPU(TEMPERATURE);
  *celsius = g->temp;
  return sensor ? INVALID : OK;
}
Result nvmlDeviceGetPowerUsage(Device device, unsigned *milliwatt) {
  GPU(POWER);
  *milliwatt = g->power;
  return OK;
}
Result nvmlDeviceGetEnforcedPowerLimit(Device device, unsigned *milliwatt) {
  GPU(LIMIT);
  *milliwatt = g->limit;
  return OK;
}
Result nvmlDeviceGetTotalEccErrors(Device device, int type, int counter, U64 *count) {
  GPU(ECC);
  if (!g->has_ecc) return NOT_SUPPORTED;
  *count = type == 1 && counter == 0 ? g->ecc : 0; /* uncorrected, volatile */
  return OK;
}

/* An event set hears what comes after a GPU was registered with it. */
typedef struct { unsigned heard; unsigned from[GPUS]; } EventSet;
typedef struct { Device device; U64 type, data; unsigned gpu_instance, compute_instance; } EventData;
Result nvmlEventSetCreate(EventSet **set) {
  Result result = driver();
  if (result) return result;
  *set = malloc(sizeof **set);
  (*set)->heard = host.xids;
  for (int i = 0; i < GPUS; i++) (*set)->from[i] = XIDS;
  return OK;
}
Result nvmlEventSetFree(EventSet *set) {
  free(set);
  return OK;
}
Result nvmlDeviceRegisterEvents(Device device, U64 types, EventSet *set) {
  GPU(REGISTER);
  if (types != 8) return INVALID; /* nvmlEventTypeXidCriticalError */
  set->from[g - host.gpu] = host.xids;
  return OK;
}
#ifndef OLD_DRIVER
Result nvmlEventSetWait_v2(EventSet *set, EventData *data, unsigned timeout) {
  Result result = driver();
  if (result) return result;
  while (set->heard < host.xids) {
    Xid *x = &host.xid[set->heard++];
    if (set->heard <= set->from[x->gpu]) continue;
    *data = (EventData){(Device)(U64)(x->gpu + 1), 8, x->number, ~0u, ~0u};
    return OK;
  }
  return timeout ? INVALID : TIMEOUT;
}
Result nvmlDeviceGetRemappedRows(Device device, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
  GPU(ROWS);
  *corrected = *uncorrected = *pending = 0;
  *failed = (unsigned)g->worn;
  return OK;
}
#endif

typedef struct { unsigned pid; U64 memory; unsigned gpu_instance, compute_instance; } Running;
static Result running(Device device, unsigned *count, Running *list, int draws) {
  GPU(PROCESS_LIST);
  unsigned room = list ? *count : 0;
  *count = 0;
  for (unsigned i = 0; i < host.processes; i++) {
    Process *p = &host.process[i];
    if (&host.gpu[p->gpu] != g || p->draws != draws) continue;
    if (*count < room) list[*count] = (Running){p->pid, p->memory < 0 ? ~0ull : (U64)p->memory << 20, ~0u, ~0u};
    ++*count;
  }
  return *count > room ? TOO_SMALL : OK;
}
Result nvmlDeviceGetComputeRunningProcesses_v2(Device device, unsigned *count, Running *list) {
  return running(device, count, list, 0);
}
#ifndef OLD_DRIVER
typedef struct { unsigned version; U64 total, reserved, free, used; } MemoryV2;
Result nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2 *memory) {
  GPU(MEMORY);
  *memory = (MemoryV2){memory->version, g->total, 0, g->total - g->used, g->used};
  return OK;
}
Result nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, Running *list) {
  return running(device, count, list, 0);
}
Result nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, unsigned *count, Running *list) {
  return running(device, count, list, 1);
}

typedef struct { unsigned pid; U64 stamp; unsigned sm, memory, encoder, decoder; } Share;
Result nvmlDeviceGetProcessUtilization(Device device, Share *list, unsigned *count, U64 since) {
  struct timespec now;
  GPU(SHARES);
  unsigned room = list ? *count : 0, n = 0;
  clock_gettime(CLOCK_REALTIME, &now);
  U64 stamp = (U64)now.tv_sec * 1000000 + (U64)now.tv_nsec / 1000;
  for (unsigned i = 0; i < host.processes; i++) {
    Process *p = &host.process[i];
    if (&host.gpu[p->gpu] != g || p->util < 0 || stamp <= since) continue;
    if (n < room) list[n] = (Share){p->pid, stamp, (unsigned)p->util, 0, 0, 0};
    n++;
  }
  *count = n;
  return !n ? NOT_FOUND : n > room ? TOO_SMALL : OK;
}
#endif
