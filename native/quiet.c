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

// Return whether something changed; false: a descriptor is ready, a signal came, or the time is over. It looks at the
// end of the time as well: somebody whose timers are due more often than it looks would otherwise never see a change.
static bool wait_quietly(int epoll, double until_s, double look_s, const struct watched *all, Py_ssize_t count)
{
	double offset_s = clock_offset_s(), left_s;
	struct epoll_event event;

	while ((left_s = until_s - clock_s(CLOCK_MONOTONIC)) > 0) {
		if (epoll_wait(epoll, &event, 1, (int)ceil(fmin(left_s, look_s) * 1000)))
			return false;
		if (is_any_changed(all, count, offset_s))
			return true;
	}
	return false;
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
	double timeout_s, look_s;
	PyObject *sequence, *items, *result = NULL;
	struct watched *all = NULL;
	int epoll;
	bool is_changed;

	if (!PyArg_ParseTuple(arguments, "iddO", &epoll, &timeout_s, &look_s, &sequence) ||
	    !(items = PySequence_Tuple(sequence)))
		return NULL;
	Py_ssize_t count = PyTuple_GET_SIZE(items);

	if (!(look_s >= 0.001 && look_s <= 3600 && timeout_s <= 1e9)) {
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
	is_changed = wait_quietly(epoll, clock_s(CLOCK_MONOTONIC) + timeout_s, look_s, all, count);
	Py_END_ALLOW_THREADS;
	if (!PyErr_CheckSignals())
		result = PyBool_FromLong(is_changed);
out:
	PyMem_Free(all);
	Py_DECREF(items);
	return result;
}

static PyMethodDef functions[] = {
    {"wait_quietly", quiet_wait, METH_VARARGS, "Wait for events; return whether something watched changed."},
    {NULL, NULL, 0, NULL},
};

int nw_add_quiet(PyObject *module)
{
	return PyModule_AddFunctions(module, functions);
}
