// An expression that decides a whole line, and the meaning of its groups: monitor/filters/groups.py in C.
#ifndef NODEWARDEN_FORM_H
#define NODEWARDEN_FORM_H

#include "connections.h"
#include "regex.h"

// Spans that a form's program may need at most.
#define NW_MAX_SPANS 512

struct nw_form;
typedef struct nw_form nw_form;

// The form in a monitor._native.Form; NULL if the object is none (no exception is set).
const nw_form *nw_form_of(PyObject *object);

// Match a line, which ends in its newline: spans of its groups.
enum nw_result nw_form_match(const nw_form *form, const char *line, int32_t length, int32_t spans[NW_MAX_SPANS]);

// The values of a match.
void nw_form_values(const nw_form *form, const char *line, int32_t length, const int32_t *spans,
		    struct nw_value values[NW_FIELDS]);

// The text of the date without its fraction of a second: its length, or -1 if it is longer than `room`.
int32_t nw_form_date(const nw_form *form, const char *line, const int32_t *spans, char *text, int32_t room);

// Whether it joins the lines of one connection.
bool nw_form_is_connected(const nw_form *form);

#endif
