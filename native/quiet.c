// Waits for events while nothing happens. Each second it looks at what wakes nobody, without the interpreter: running
// Python costs a quarter of a millisecond where its code has left the processor's caches.
#define _GNU_SOURCE
#include "native.h"

#include <errno.h>
#include <linux/bpf.h>
#include <math.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_VALUE_BYTES 64
#define CLOCK_STEP_S 0.5

// One thing to look at: the first value of an eBPF array, or the length of a file (`value_bytes` is 0).
struct watched {
	int descriptor;
	uint32_t value_bytes;
	int64_t file_bytes;
	uint8_t value[MAX_VALUE_BYTES];
};

static double clock_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// By how much the wall clock is ahead of the monotonic one: it changes when somebody sets it, and after suspend.
static double clock_offset_s(void)
{
	return clock_s(CLOCK_REALTIME) - clock_s(CLOCK_MONOTONIC);
}

static bool is_map_changed(const struct watched *one)
{
	uint32_t key = 0;
	_Alignas(8) uint8_t value[MAX_VALUE_BYTES] = {0};
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.map_fd = (uint32_t)one->descriptor;
	attr.key = (uint64_t)(uintptr_t)&key;
	attr.value = (uint64_t)(uintptr_t)value;
	return syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, sizeof attr) || memcmp(value, one->value, one->value_bytes);
}

static bool is_file_changed(const struct watched *one)
{
	struct stat found;

	return fstat(one->descriptor, &found) || found.st_size != one->file_bytes;
}

static bool is_any_changed(const struct watched *all, Py_ssize_t count, double offset_s)
{
	for (const struct watched *one = all; one < all + count; one++)
		if (one->value_bytes ? is_map_changed(one) : is_file_changed(one))
			return true;
	return fabs(clock_offset_s() - offset_s) >= CLOCK_STEP_S;
}

enum found { NOTHING, CHANGED, THE_SAME };

struct wait {
	int epoll;
	double until_s, look_s, look_at_s, offset_s;
	const struct watched *all;
	Py_ssize_t count;
};

// Wait for events; return what the last look found, NOTHING without one. It looks when that is due, at the end of the
// time, and before it returns for an event if a look is due then: events may come so often that it never waits long.
static enum found wait_quietly(struct wait wait)
{
	struct epoll_event event;
	enum found found = NOTHING;

	for (double now_s; (now_s = clock_s(CLOCK_MONOTONIC)) < wait.until_s;) {
		double left_s = fmax(0, fmin(wait.until_s, wait.look_at_s) - now_s);
		bool is_ready = epoll_wait(wait.epoll, &event, 1, (int)ceil(left_s * 1000));

		if (!is_ready || clock_s(CLOCK_MONOTONIC) >= wait.look_at_s) {
			if (is_any_changed(wait.all, wait.count, wait.offset_s))
				return CHANGED;
			found = THE_SAME;
			wait.look_at_s = clock_s(CLOCK_MONOTONIC) + wait.look_s;
		}
		if (is_ready)
			break;
	}
	return found;
}

static bool read_watched(PyObject *pair, struct watched *one)
{
	PyObject *value;

	memset(one, 0, sizeof *one);
	if (!PyTuple_Check(pair) || !PyArg_ParseTuple(pair, "iO", &one->descriptor, &value)) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_TypeError, "a descriptor and a value are expected");
		return false;
	}
	if (!PyBytes_Check(value)) {
		one->file_bytes = PyLong_AsLongLong(value);
		return !PyErr_Occurred();
	}
	if (PyBytes_GET_SIZE(value) < 1 || PyBytes_GET_SIZE(value) > MAX_VALUE_BYTES) {
		PyErr_SetString(PyExc_ValueError, "a value has 1 to 64 bytes");
		return false;
	}
	one->value_bytes = (uint32_t)PyBytes_GET_SIZE(value);
	memcpy(one->value, PyBytes_AS_STRING(value), one->value_bytes);
	return true;
}

static PyObject *quiet_wait(PyObject *module, PyObject *arguments)
{
	double timeout_s, look_s, first_s, offset_s;
	PyObject *sequence, *items, *result = NULL;
	struct watched *all = NULL;
	enum found found;
	int epoll;

	if (!PyArg_ParseTuple(arguments, "iddddO", &epoll, &timeout_s, &look_s, &first_s, &offset_s, &sequence) ||
	    !(items = PySequence_Tuple(sequence)))
		return NULL;
	Py_ssize_t count = PyTuple_GET_SIZE(items);

	if (!(look_s >= 0.001 && look_s <= 3600 && first_s <= 3600 && timeout_s <= 1e9 && isfinite(offset_s))) {
		PyErr_SetString(PyExc_ValueError, "a look each millisecond to hour is expected");
		goto out;
	}
	if (!(all = PyMem_New(struct watched, count ? count : 1))) {
		PyErr_NoMemory();
		goto out;
	}
	for (Py_ssize_t at = 0; at < count; at++)
		if (!read_watched(PyTuple_GET_ITEM(items, at), all + at))
			goto out;
	Py_BEGIN_ALLOW_THREADS;
	double now_s = clock_s(CLOCK_MONOTONIC);

	found = wait_quietly((struct wait){epoll, now_s + timeout_s, look_s, now_s + first_s, offset_s, all, count});
	Py_END_ALLOW_THREADS;
	if (!PyErr_CheckSignals())
		result = PyLong_FromLong(found);
out:
	PyMem_Free(all);
	Py_DECREF(items);
	return result;
}

static PyMethodDef functions[] = {
    {"wait_quietly", quiet_wait, METH_VARARGS,
     "Wait for events; return 0, 1: what is watched changed, or 2: it is the same."},
    {NULL, NULL, 0, NULL},
};

int nw_add_quiet(PyObject *module)
{
	return PyModule_AddFunctions(module, functions);
}
