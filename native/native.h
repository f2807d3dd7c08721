// What the parts of the extension share.
#ifndef NODEWARDEN_NATIVE_H
#define NODEWARDEN_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// Rises with each change that Python code must know of; monitor/native.py takes only its own.
#define NW_INTERFACE 5

// Each part adds its types and functions to the module: 0, or -1 with an exception set.
int nw_add_regex(PyObject *module);
int nw_add_confirm(PyObject *module);
int nw_add_kmsg(PyObject *module);
int nw_add_quiet(PyObject *module);
int nw_add_text(PyObject *module);
int nw_add_connections(PyObject *module);
int nw_add_form(PyObject *module);
int nw_add_candidates(PyObject *module);
int nw_add_finder(PyObject *module);

static inline bool nw_is_ascii(const char *text, Py_ssize_t length)
{
	uint64_t all = 0, word;
	Py_ssize_t at = 0;

	for (; length - at >= 8; at += 8) {
		memcpy(&word, text + at, 8);
		all |= word;
	}
	for (; at < length; at++)
		all |= (uint8_t)text[at] & 0x80u;
	return !(all & 0x8080808080808080u);
}

#endif
