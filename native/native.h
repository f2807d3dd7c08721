// What the parts of the extension share.
#ifndef NODEWARDEN_NATIVE_H
#define NODEWARDEN_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

// Rises with each change that Python code must know of; monitor/native.py takes only its own.
#define NW_INTERFACE 2

// Each part adds its types and functions to the module: 0, or -1 with an exception set.
int nw_add_regex(PyObject *module);
int nw_add_confirm(PyObject *module);
int nw_add_kmsg(PyObject *module);
int nw_add_connections(PyObject *module);
int nw_add_form(PyObject *module);
int nw_add_candidates(PyObject *module);
int nw_add_finder(PyObject *module);

#endif
