/*
 * A stand-in for libdcgm.so.4, for tests: it answers the calls that go-dcgm makes
 * from a file, and keeps watches as DCGM does. Written from the calls' own
 * arguments; it holds nothing of NVIDIA's headers or code.
 *
 * The folder named by PDAUTOSCALER_TEST_DCGM holds "scenario", which is read anew
 * at every call, so that a test changes the node while the agent runs, and
 * "calls", to which each call that changes something is added. A scenario has one
 * thing a line:
 *
 *   engine down                   nothing can be connected to or started
 *   generation 2                  connections made under another number are lost
 *   hang 3                        reading takes so many seconds
 *   profiling -34                 watching a profiling field fails with this code
 *   profiling-at-most 2           more profiling fields than that need several passes (-38)
 *   gpu 0                         a GPU
 *   instance 7 of 0 as 3          a GPU instance: entity 7, of GPU 0, instance 3 on it
 *   text gpu 0 54 GPU-1234        a string; the rest of the line
 *   value gpu 0 203 i 97          a number: of a gpu or an instance, field, type (i, d), value
 *   value gpu 0 1004 d blank+2    a blank; status=-17 and age=12.5 (seconds) may follow
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { OK = 0, BADPARAM = -1, NO_DATA = -14, NOT_WATCHED = -16, CONNECTION = -21, MULTI_PASS = -38 };
enum { KIND_GPU = 1, KIND_INSTANCE = 4, LIVE = 1, MAX = 64, FIELDS = 128 };

struct pair {
	int32_t kind;
	uint32_t id;
};

struct value2 {
	uint32_t version;
	int32_t kind;
	uint32_t id;
	uint16_t field, type;
	int32_t status;
	uint32_t unused;
	int64_t usec;
	union {
		int64_t i;
		double d;
		char s[4096];
	} v;
};

struct instance {
	struct pair entity, parent;
	char uuid[128];
	uint32_t gpu, instance, compute, profile, slices;
};

struct hierarchy {
	uint32_t version, count;
	struct instance list[32 * 14];
};

_Static_assert(sizeof(struct value2) == 4128, "a value is 4128 bytes");
_Static_assert(sizeof(struct instance) == 164, "an instance is 164 bytes");

static struct {
	int used, n;
	struct pair entity[MAX];
} groups[MAX];

static struct {
	int used, n;
	uint16_t id[FIELDS];
} fieldGroups[MAX];

static struct {
	int used, group, fields;
} watches[MAX];

static int connected, generation;

static FILE *in(const char *name, const char *mode) {
	const char *folder = getenv("PDAUTOSCALER_TEST_DCGM");
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder ? folder : ".", name);
	return fopen(path, mode);
}

#define note(...)                                                                                                      \
	do {                                                                                                           \
		FILE *calls = in("calls", "a");                                                                        \
		if (calls) {                                                                                           \
			fprintf(calls, __VA_ARGS__);                                                                   \
			fclose(calls);                                                                                 \
		}                                                                                                      \
	} while (0)

/* setting returns the number that follows a word at the start of a line. */
static int setting(const char *word, int otherwise) {
	char line[512], first[64];
	int number, found = otherwise;
	FILE *f = in("scenario", "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "%63s %d", first, &number) == 2 && !strcmp(first, word)) found = number;
	if (f) fclose(f);
	return found;
}

static int engineDown(void) {
	char line[512];
	int down = 0;
	FILE *f = in("scenario", "r");
	if (!f) return 1;
	while (fgets(line, sizeof line, f)) down |= !strncmp(line, "engine down", 11);
	fclose(f);
	return down;
}

/* lost says whether calls of this connection fail. */
static int lost(uintptr_t handle) {
	return !connected || handle != 1 || engineDown() || setting("generation", 1) != generation;
}

static void forget(void) {
	memset(groups, 0, sizeof groups);
	memset(fieldGroups, 0, sizeof fieldGroups);
	memset(watches, 0, sizeof watches);
}

static int kindOf(const char *word) { return !strcmp(word, "gpu") ? KIND_GPU : !strcmp(word, "instance") ? KIND_INSTANCE : 0; }

static int profiling(int field) { return field >= 1001 && field <= 1080; }

const char *errorString(int code) {
	switch (code) {
	case BADPARAM: return "Bad parameter passed to function";
	case NOT_WATCHED: return "Field is not being watched";
	case CONNECTION: return "Host engine connection invalid/disconnected";
	case -33: return "This request is serviced by a module of DCGM that is not currently loaded";
	case -34: return "The requested operation could not be completed because the affected resource is in use";
	case -36: return "Profiling is not supported for this group of GPUs or GPU";
	case MULTI_PASS: return "The requested profiling metrics cannot be collected in a single pass";
	}
	return "Generic unspecified error";
}

int dcgmInit(void) { return OK; }
int dcgmShutdown(void) {
	note("shutdown\n");
	return OK;
}

static int connectTo(const char *what, uintptr_t *handle) {
	note("connect %s\n", what);
	if (engineDown()) return CONNECTION;
	forget();
	connected = 1;
	generation = setting("generation", 1);
	*handle = 1;
	return OK;
}

static int disconnect(uintptr_t handle) {
	int open = 0;
	for (int i = 0; i < MAX; i++) open += groups[i].used + fieldGroups[i].used + watches[i].used;
	int gone = lost(handle);
	note("disconnect lost=%d left=%d\n", gone, open);
	connected = 0;
	forget();
	return gone ? CONNECTION : OK;
}

int dcgmStartEmbedded(int mode, uintptr_t *handle) {
	char what[32];
	snprintf(what, sizeof what, "embedded mode=%d", mode);
	return connectTo(what, handle);
}
int dcgmStopEmbedded(uintptr_t handle) { return disconnect(handle); }
int dcgmConnect_v2(const char *address, void *params, uintptr_t *handle) {
	/* the parameters are: version, keep watches after the end, timeout, whether it is a unix socket */
	char what[512];
	snprintf(what, sizeof what, "%s socket=%u", address, ((uint32_t *)params)[3]);
	return connectTo(what, handle);
}
int dcgmDisconnect(uintptr_t handle) { return disconnect(handle); }

int dcgmGetAllSupportedDevices(uintptr_t handle, unsigned *ids, int *count) {
	char line[512];
	unsigned id;
	*count = 0;
	if (lost(handle)) return CONNECTION;
	FILE *f = in("scenario", "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "gpu %u", &id) == 1 && *count < 32) ids[(*count)++] = id;
	if (f) fclose(f);
	return OK;
}

int dcgmGetGpuInstanceHierarchy(uintptr_t handle, struct hierarchy *h) {
	char line[512];
	unsigned id, gpu, as;
	if (lost(handle)) return CONNECTION;
	if (h->version != (sizeof *h | 2 << 24)) return BADPARAM;
	h->count = 0;
	FILE *f = in("scenario", "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "instance %u of %u as %u", &id, &gpu, &as) == 3) {
			struct instance *i = &h->list[h->count++];
			memset(i, 0, sizeof *i);
			i->entity = (struct pair){KIND_INSTANCE, id};
			i->parent = (struct pair){KIND_GPU, gpu};
			i->gpu = gpu, i->instance = as;
		}
	if (f) fclose(f);
	return OK;
}

int dcgmGroupCreate(uintptr_t handle, int type, const char *name, uintptr_t *group) {
	if (lost(handle)) return CONNECTION;
	for (int i = 0; i < MAX; i++)
		if (!groups[i].used) {
			groups[i].used = 1, groups[i].n = 0;
			*group = i + 1;
			return type == 1 && name ? OK : BADPARAM;
		}
	return -24;
}

int dcgmGroupAddEntity(uintptr_t handle, uintptr_t group, int kind, unsigned id) {
	if (lost(handle)) return CONNECTION;
	if (group < 1 || group > MAX || !groups[group - 1].used || groups[group - 1].n >= MAX) return BADPARAM;
	groups[group - 1].entity[groups[group - 1].n++] = (struct pair){kind, id};
	return OK;
}

int dcgmGroupDestroy(uintptr_t handle, uintptr_t group) {
	if (lost(handle)) return CONNECTION;
	if (group < 1 || group > MAX || !groups[group - 1].used) return BADPARAM;
	groups[group - 1].used = 0;
	return OK;
}

int dcgmFieldGroupCreate(uintptr_t handle, int n, const uint16_t *ids, const char *name, uintptr_t *out) {
	if (lost(handle)) return CONNECTION;
	if (n < 1 || n > FIELDS || !name) return BADPARAM;
	for (int i = 0; i < MAX; i++)
		if (!fieldGroups[i].used) {
			fieldGroups[i].used = 1, fieldGroups[i].n = n;
			memcpy(fieldGroups[i].id, ids, n * sizeof *ids);
			*out = i + 1;
			return OK;
		}
	return -24;
}

int dcgmFieldGroupDestroy(uintptr_t handle, uintptr_t fields) {
	if (lost(handle)) return CONNECTION;
	if (fields < 1 || fields > MAX || !fieldGroups[fields - 1].used) return BADPARAM;
	fieldGroups[fields - 1].used = 0;
	return OK;
}

int dcgmWatchFields(uintptr_t handle, uintptr_t group, uintptr_t fields, long long usec, double keepAge, int keepSamples) {
	if (lost(handle)) return CONNECTION;
	if (group < 1 || group > MAX || fields < 1 || fields > MAX || !groups[group - 1].used || !fieldGroups[fields - 1].used)
		return BADPARAM;
	int ofProfiling = 0, n = fieldGroups[fields - 1].n;
	for (int i = 0; i < n; i++) ofProfiling += profiling(fieldGroups[fields - 1].id[i]);
	int refused = ofProfiling ? setting("profiling", OK) : OK;
	if (refused == OK && ofProfiling > setting("profiling-at-most", FIELDS)) refused = MULTI_PASS;
	note("watch entities=%d device=%d profiling=%d usec=%lld age=%g samples=%d -> %d\n", groups[group - 1].n, n - ofProfiling, ofProfiling,
	     usec, keepAge, keepSamples, refused);
	if (refused != OK) return refused;
	for (int i = 0; i < MAX; i++)
		if (!watches[i].used) {
			watches[i].used = 1, watches[i].group = group, watches[i].fields = fields;
			return OK;
		}
	return -24;
}

int dcgmUnwatchFields(uintptr_t handle, uintptr_t group, uintptr_t fields) {
	if (lost(handle)) return CONNECTION;
	for (int i = 0; i < MAX; i++)
		if (watches[i].used && watches[i].group == (int)group && watches[i].fields == (int)fields) {
			watches[i].used = 0;
			return OK;
		}
	return BADPARAM;
}

int dcgmUpdateAllFields(uintptr_t handle, int wait) { return lost(handle) ? CONNECTION : wait ? OK : BADPARAM; }

static int watched(struct pair entity, uint16_t field) {
	for (int i = 0; i < MAX; i++) {
		if (!watches[i].used) continue;
		int has = 0, g = watches[i].group - 1, f = watches[i].fields - 1;
		for (int k = 0; k < groups[g].n; k++) has |= groups[g].entity[k].kind == entity.kind && groups[g].entity[k].id == entity.id;
		for (int k = 0; has && k < fieldGroups[f].n; k++)
			if (fieldGroups[f].id[k] == field) return 1;
	}
	return 0;
}

static void blank(struct value2 *out, int above) {
	switch (out->type) {
	case 'i': out->v.i = 0x7ffffffffffffff0 + above; break;
	case 'd': out->v.d = 140737488355328.0 + above; break;
	default: strcpy(out->v.s, "<<<NULL>>>");
	}
}

/* find fills in the scenario's value of a field, and leaves a blank where it has none. */
static void find(struct value2 *out) {
	char line[512], what[16], kind[16], number[64];
	unsigned id, field;
	FILE *f = in("scenario", "r");
	out->status = NO_DATA;
	while (f && fgets(line, sizeof line, f)) {
		int at = 0;
		char type = 's';
		if (sscanf(line, "%15s %15s %u %u %n", what, kind, &id, &field, &at) < 4 || !at) continue;
		if (kindOf(kind) != out->kind || id != out->id || field != out->field) continue;
		char *rest = line + at, *option;
		rest[strcspn(rest, "\n")] = 0;
		out->status = OK;
		if (!strcmp(what, "text")) {
			out->type = 's';
			snprintf(out->v.s, sizeof out->v.s, "%s", rest);
			continue;
		}
		if (strcmp(what, "value") || sscanf(rest, "%c %63s", &type, number) != 2) continue;
		out->type = type;
		if (!strncmp(number, "blank", 5)) blank(out, atoi(number + 5));
		else if (type == 'i') out->v.i = atoll(number);
		else out->v.d = atof(number);
		if ((option = strstr(rest, "status="))) out->status = atoi(option + 7);
		if ((option = strstr(rest, "age="))) out->usec -= (int64_t)(atof(option + 4) * 1e6);
	}
	if (f) fclose(f);
	if (out->status == NO_DATA) blank(out, 0);
}

int dcgmEntitiesGetLatestValues(uintptr_t handle, const struct pair *entities, unsigned nEntities, const uint16_t *fields, unsigned nFields,
				unsigned flags, struct value2 *out) {
	struct timeval now;
	gettimeofday(&now, NULL);
	if (lost(handle)) return CONNECTION;
	sleep(setting("hang", 0));
	for (unsigned e = 0; e < nEntities; e++)
		for (unsigned k = 0; k < nFields; k++, out++) {
			memset(out, 0, sizeof *out);
			*out = (struct value2){.version = sizeof *out | 2 << 24, .kind = entities[e].kind, .id = entities[e].id,
					       .field = fields[k], .type = 'd', .usec = now.tv_sec * 1000000LL + now.tv_usec};
			if (flags & LIVE || watched(entities[e], fields[k])) {
				find(out);
			} else {
				out->status = NOT_WATCHED;
				blank(out, 0);
			}
		}
	return OK;
}
