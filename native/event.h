// Failures as events: what Scan._event and Scan._when_s of monitor/filters/scan.py do.
#ifndef NODEWARDEN_EVENT_H
#define NODEWARDEN_EVENT_H

#include "connections.h"

// Longer lines are left to Python.
#define NW_LONGEST (1 << 20)

enum nw_count {
	NW_CANDIDATES,
	NW_FAILURES,
	NW_UNPROVEN,
	NW_UNUSABLE,
	NW_MISDATED,
	NW_OUTDATED,
	NW_STALE,
	NW_COUNTS,
};

// What all failures of a filter in a block have in common, and how many there were.
struct nw_maker {
	PyObject *type, *detector, *strength, *log, *reason, *events;
	double read_s, after_s, findtime_s;
	bool is_live;
	Py_ssize_t counts[NW_COUNTS];
};

struct nw_line {
	const char *text; // ASCII, with its newline
	Py_ssize_t length;
	double time_s;
	bool has_time;
	bool is_zoned; // no zone of the log explains a wrong time
};

// Add the failure to the events if it counts; `host` is NULL for a name, which is never resolved. 0, or -1 with an
// exception.
int nw_report(struct nw_maker *maker, const struct nw_value *host, const struct nw_value *user,
	      const struct nw_value *cidr, const struct nw_line *line);

void nw_maker_clear(struct nw_maker *maker);

#endif
