// When a line was written: as its source knows it, or by its date.
#ifndef NODEWARDEN_LINE_TIME_H
#define NODEWARDEN_LINE_TIME_H

#include "form.h"

#define NW_MAX_DATE 100

// The times of a block's lines, and the last date of one run.
struct nw_times {
	PyObject *of_lines; // a tuple; empty where the source knows none
	bool is_wrapped;
	Py_ssize_t seen, line_number; // of the line that starts at `seen`
	char date[NW_MAX_DATE];
	int32_t date_length; // -1: there was none in this run
	double date_s;
	bool is_zoned;
};

// The time of the line at `start` as its source knows it: 1, or 0 if it does not, -1 with an exception. Lines must come
// in their order.
int nw_known_time(struct nw_times *times, PyObject *data, Py_ssize_t start, double *time_s);

// Read the date of a match into `date_s` and `is_zoned`. `known` has the dates that were read before. 1, or 0 if it
// must be read, -1 with an exception.
int nw_dated_time(struct nw_times *times, const nw_form *form, const char *line, const int32_t *spans, PyObject *known);

#endif
