// What the lines of one connection reported, by its identity: monitor/filters/connections.py in C.
#ifndef NODEWARDEN_CONNECTIONS_H
#define NODEWARDEN_CONNECTIONS_H

#include "native.h"

// The groups that have a meaning, in the order of FIELDS in monitor/filters/groups.py.
enum nw_field {
	NW_MLFID,
	NW_NOFAIL,
	NW_MLFFORGET,
	NW_MLFGAINED,
	NW_USER,
	NW_IP4,
	NW_IP6,
	NW_DNS,
	NW_FID,
	NW_CIDR,
	NW_FIELDS,
	// Those that connections remember.
	NW_FIRST_KEPT = NW_USER,
	NW_KEPT = NW_FIELDS - NW_FIRST_KEPT,
};

// The text of a group in UTF-8. `text` is NULL if the group took no part; `object` is the same text as a Python string
// if there is one (a borrowed reference), else NULL and the text is ASCII.
struct nw_value {
	const char *text;
	Py_ssize_t length;
	PyObject *object;
};

struct nw_connection;
typedef struct nw_connections nw_connections;

// The table in a monitor._native.Connections; NULL if the object is none (no exception is set).
nw_connections *nw_connections_of(PyObject *object);

// How many were forgotten early.
Py_ssize_t nw_evicted(const nw_connections *table);

// Add a line to its connection, which goes to `found`: 1 if the line is a failure, 0 if not, -1 with an exception.
// Unless it is -1, call nw_release once `found` is no longer needed.
int nw_merge(nw_connections *table, const struct nw_value values[NW_FIELDS], double now_s,
	     struct nw_connection **found);

// What all lines of the connection reported of one of the kept fields: a borrowed reference, or NULL.
PyObject *nw_reported(const struct nw_connection *connection, enum nw_field field);

// Its address is not known yet: a later line may contain it. Without effect if the connection was forgotten.
void nw_wait(struct nw_connection *connection);

// Free a connection that the table no longer knows.
void nw_release(struct nw_connection *connection);

// A Python string of an ASCII text.
PyObject *nw_ascii(const char *text, Py_ssize_t length);

#endif
