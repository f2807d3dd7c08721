// Unmaps program text (see monitor/daemon/life/mappings.py). The loader's lock is held meanwhile, so no library is
// unloaded: at an address that was its text a moment before, another thread could have data that no file has.
#define _GNU_SOURCE
#include "native.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

struct range {
	uintptr_t start, end;
};

struct ranges {
	struct range *all;
	Py_ssize_t count;
	uintptr_t page;
	size_t unmapped_bytes;
};

static void unmap(struct ranges *wanted, uintptr_t start, uintptr_t end)
{
	for (const struct range *one = wanted->all; one < wanted->all + wanted->count; one++) {
		uintptr_t from = one->start > start ? one->start : start, to = one->end < end ? one->end : end;

		if (from < to && !madvise((void *)from, to - from, MADV_DONTNEED))
			wanted->unmapped_bytes += to - from;
	}
}

// For each object that is loaded. Segments that are writable when they are loaded have relocated data, also where the
// loader made them read-only afterwards, and also while that data is swapped out.
static int unmap_object(struct dl_phdr_info *object, size_t size, void *data)
{
	struct ranges *wanted = data;

	for (int at = 0; at < object->dlpi_phnum; at++) {
		const ElfW(Phdr) *segment = object->dlpi_phdr + at;
		uintptr_t start = object->dlpi_addr + segment->p_vaddr, end = start + segment->p_memsz;

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W))
			unmap(wanted, start & ~(wanted->page - 1), (end + wanted->page - 1) & ~(wanted->page - 1));
	}
	return 0;
}

static bool read_ranges(PyObject *items, struct ranges *wanted)
{
	for (Py_ssize_t at = 0; at < wanted->count; at++) {
		unsigned long long start, end;
		PyObject *pair = PyTuple_GET_ITEM(items, at);

		if (!PyTuple_Check(pair)) {
			PyErr_SetString(PyExc_TypeError, "pairs of start and end are expected");
			return false;
		}
		if (!PyArg_ParseTuple(pair, "KK", &start, &end))
			return false;
		if (start % wanted->page || end % wanted->page) {
			PyErr_SetString(PyExc_ValueError, "whole pages are expected");
			return false;
		}
		wanted->all[at] = (struct range){(uintptr_t)start, (uintptr_t)end};
	}
	return true;
}

static PyObject *text_unmap(PyObject *module, PyObject *sequence)
{
	struct ranges wanted = {.page = (uintptr_t)sysconf(_SC_PAGESIZE)};
	PyObject *items = PySequence_Tuple(sequence), *result = NULL;

	if (!items)
		return NULL;
	wanted.count = PyTuple_GET_SIZE(items);
	if (!(wanted.all = PyMem_New(struct range, wanted.count ? wanted.count : 1)))
		PyErr_NoMemory();
	else if (read_ranges(items, &wanted)) {
		Py_BEGIN_ALLOW_THREADS;
		dl_iterate_phdr(unmap_object, &wanted);
		Py_END_ALLOW_THREADS;
		result = PyLong_FromSize_t(wanted.unmapped_bytes);
	}
	PyMem_Free(wanted.all);
	Py_DECREF(items);
	return result;
}

static PyMethodDef functions[] = {
    {"unmap_text", text_unmap, METH_O, "Unmap text of programs and libraries in these ranges; return its bytes."},
    {NULL, NULL, 0, NULL},
};

int nw_add_text(PyObject *module)
{
	return PyModule_AddFunctions(module, functions);
}
