// monitor._native.Confirmation: the candidates of one filter in one block. It decides what LogFilter._examine_at_once
// decides, with the same result, and stops at the first line that it leaves to Python.
#include "candidates.h"
#include "event.h"
#include "form.h"
#include "line_time.h"
#include <time.h>

#define CLOCK_LINES 16

typedef struct {
	PyObject_HEAD PyObject *data, *candidates;
	nw_connections *all, *proven; // `proven` is NULL for lines that prove nothing
	PyObject *all_object, *proven_object;
	struct nw_maker maker;
	struct nw_times times;
	Py_ssize_t dated; // lines of one run whose date was known
} ConfirmationObject;

static PyTypeObject *confirmation_type;

static double monotonic_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int from_connection(const struct nw_connection *connection, struct nw_value reported[NW_FIELDS])
{
	for (int field = NW_FIRST_KEPT; field < NW_FIELDS; field++) {
		struct nw_value *value = &reported[field];

		value->object = nw_reported(connection, field);
		value->length = 0;
		value->text = NULL;
		if (value->object && !(value->text = PyUnicode_AsUTF8AndSize(value->object, &value->length)))
			return -1;
	}
	return 0;
}

// A failure of one connection, or of none (NULL): LogFilter._conclude after the merge.
static int conclude(ConfirmationObject *self, const struct nw_value reported[NW_FIELDS], struct nw_connection *all,
		    struct nw_connection *own, const struct nw_line *line)
{
	struct nw_maker *maker = &self->maker;
	const struct nw_value *host = NULL;
	static const enum nw_field order[] = {NW_IP4, NW_IP6, NW_DNS, NW_FID};
	bool is_name;

	for (int index = 0; index < 4 && !host; index++)
		if (reported[order[index]].length)
			host = &reported[order[index]];
	if (!host) {
		if (own) {
			nw_wait(all);
			nw_wait(own);
		} else {
			maker->counts[NW_UNUSABLE]++;
		}
		return 0;
	}
	is_name = host == &reported[NW_DNS];
	return nw_report(maker, is_name ? NULL : host, &reported[NW_USER], &reported[NW_CIDR], line);
}

// A match whose time is known: count it, and report the failure if it is one. 0, or -1 with an exception.
static int take(ConfirmationObject *self, const nw_form *form, const struct nw_value values[NW_FIELDS], double when_s,
		const struct nw_line *line)
{
	struct nw_value reported[NW_FIELDS];
	struct nw_connection *all = NULL, *own = NULL;
	int is_failure, failed = 0;

	if (!nw_form_is_connected(form) || !values[NW_MLFID].text) {
		if (values[NW_NOFAIL].length)
			return 0;
		return conclude(self, values, NULL, NULL, line);
	}
	is_failure = nw_merge(self->all, values, when_s, &all);
	if (is_failure < 0)
		return -1;
	own = all;
	if (self->proven) {
		is_failure = nw_merge(self->proven, values, when_s, &own);
		if (is_failure < 0) {
			nw_release(all);
			return -1;
		}
	}
	if (is_failure)
		failed = from_connection(own, reported) || conclude(self, reported, all, own, line);
	if (own != all)
		nw_release(own);
	nw_release(all);
	return failed ? -1 : 0;
}

// Decide one candidate: 1, or 0 if Python must do it, -1 with an exception.
static int decide(ConfirmationObject *self, PyObject *forms, PyObject *known, const struct nw_candidate *candidate)
{
	const char *text = PyBytes_AS_STRING(self->data) + candidate->start;
	Py_ssize_t length = candidate->end - candidate->start;
	int32_t spans[NW_MAX_SPANS];
	struct nw_value values[NW_FIELDS];
	struct nw_line line = {text, length, 0.0, false, false};
	const nw_form *form;
	double when_s;
	int found;

	if (candidate->number >= PyList_GET_SIZE(forms))
		return 0;
	form = nw_form_of(PyList_GET_ITEM(forms, candidate->number));
	if (!form || length > NW_LONGEST || !nw_is_ascii(text, length))
		return 0;
	if (nw_form_match(form, text, (int32_t)length, spans) != NW_MATCH)
		return 0;
	found = nw_known_time(&self->times, self->data, candidate->start, &line.time_s);
	if (found < 0)
		return -1;
	line.has_time = line.is_zoned = found;
	when_s = line.time_s;
	if (known != Py_None) {
		found = nw_dated_time(&self->times, form, text, spans, known);
		if (found <= 0)
			return found;
		self->dated++;
		when_s = self->times.date_s;
		if (!line.has_time) {
			line.time_s = when_s;
			line.has_time = true;
			line.is_zoned = self->times.is_zoned;
		}
	} else if (!line.has_time) {
		return 0;
	}
	nw_form_values(form, text, (int32_t)length, spans, values);
	if (take(self, form, values, when_s != 0.0 ? when_s : self->maker.read_s, &line))
		return -1;
	self->maker.counts[NW_CANDIDATES]++;
	return 1;
}

static PyObject *counted(ConfirmationObject *self, Py_ssize_t index, bool is_late)
{
	Py_ssize_t *counts = self->maker.counts;
	Py_ssize_t evicted = nw_evicted(self->all) + nw_evicted(nw_connections_of(self->proven_object));

	return Py_BuildValue("nOnOnnnnnnnn", index, is_late ? Py_True : Py_False, self->dated,
			     self->times.is_zoned ? Py_True : Py_False, counts[NW_CANDIDATES], counts[NW_FAILURES],
			     counts[NW_UNPROVEN], counts[NW_UNUSABLE], counts[NW_MISDATED], counts[NW_OUTDATED],
			     counts[NW_STALE], evicted);
}

static PyObject *confirmation_run(PyObject *object, PyObject *const *arguments, Py_ssize_t total)
{
	ConfirmationObject *self = (ConfirmationObject *)object;
	PyObject *forms, *known;
	Py_ssize_t index, end;
	struct nw_candidate one;
	double until_s;
	int decided = 1;
	bool is_late = false;

	if (total != 4 || !PyList_Check(forms = arguments[0]) ||
	    ((known = arguments[1]) != Py_None && !PyDict_Check(known))) {
		PyErr_SetString(PyExc_TypeError, "run(forms, known, index, until_s)");
		return NULL;
	}
	index = PyLong_AsSsize_t(arguments[2]);
	until_s = PyFloat_AsDouble(arguments[3]);
	end = PySequence_Size(self->candidates);
	if (PyErr_Occurred())
		return NULL;
	memset(self->maker.counts, 0, sizeof(self->maker.counts));
	self->times.date_length = -1;
	self->dated = 0;
	for (Py_ssize_t lines = 1; index >= 0 && index < end; index++, lines++) {
		if (nw_candidate_at(self->candidates, index, &one))
			return NULL;
		if (one.start < 0 || one.end <= one.start || one.end > PyBytes_GET_SIZE(self->data)) {
			PyErr_SetString(PyExc_ValueError, "a candidate is no line of the block");
			return NULL;
		}
		decided = decide(self, forms, known, &one);
		if (decided < 0)
			return NULL;
		if (!decided)
			break;
		if (!(lines % CLOCK_LINES) && !isinf(until_s) && monotonic_s() >= until_s) {
			index++;
			is_late = true;
			break;
		}
	}
	return counted(self, index, is_late);
}

static PyObject *confirmation_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
	static char *words[] = {"data",	      "candidates",  "times",  "is_wrapped", "event",	"detector",
				"strength",   "log",	     "reason", "read_s",     "after_s", "is_live",
				"findtime_s", "connections", "proven", "proves",     "events",	NULL};
	PyObject *data, *candidates, *times, *event, *detector, *strength, *log, *reason, *all, *proven, *events;
	double read_s, after_s, findtime_s;
	int is_wrapped, is_live, proves;
	ConfirmationObject *self;

	if (!PyArg_ParseTupleAndKeywords(arguments, named, "SOOpOOOOUddpdOOpO!", words, &data, &candidates, &times,
					 &is_wrapped, &event, &detector, &strength, &log, &reason, &read_s, &after_s,
					 &is_live, &findtime_s, &all, &proven, &proves, &PyList_Type, &events))
		return NULL;
	if (!nw_connections_of(all) || !nw_connections_of(proven)) {
		PyErr_SetString(PyExc_TypeError, "these are no connections");
		return NULL;
	}
	times = PySequence_Tuple(times);
	if (!times)
		return NULL;
	self = (ConfirmationObject *)type->tp_alloc(type, 0);
	if (!self) {
		Py_DECREF(times);
		return NULL;
	}
	self->times.of_lines = times;
	self->data = Py_NewRef(data);
	self->candidates = Py_NewRef(candidates);
	self->all_object = Py_NewRef(all);
	self->proven_object = Py_NewRef(proven);
	self->all = nw_connections_of(all);
	self->proven = proves ? nw_connections_of(proven) : NULL;
	self->times.is_wrapped = is_wrapped;
	self->maker = (struct nw_maker){
	    .type = Py_NewRef(event),
	    .detector = Py_NewRef(detector),
	    .strength = Py_NewRef(strength),
	    .log = Py_NewRef(log),
	    .reason = Py_NewRef(reason),
	    .events = Py_NewRef(events),
	    .read_s = read_s,
	    .after_s = after_s,
	    .findtime_s = findtime_s,
	    .is_live = is_live,
	};
	return (PyObject *)self;
}

static void confirmation_dealloc(PyObject *object)
{
	PyTypeObject *type = Py_TYPE(object);
	ConfirmationObject *self = (ConfirmationObject *)object;

	Py_XDECREF(self->data);
	Py_XDECREF(self->candidates);
	Py_XDECREF(self->times.of_lines);
	Py_XDECREF(self->all_object);
	Py_XDECREF(self->proven_object);
	nw_maker_clear(&self->maker);
	type->tp_free(object);
	Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))confirmation_run, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, confirmation_new},
    {Py_tp_dealloc, confirmation_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "The candidates of one filter in one block."},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "monitor._native.Confirmation",
    .basicsize = sizeof(ConfirmationObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int nw_add_confirm(PyObject *module)
{
	confirmation_type = (PyTypeObject *)PyType_FromSpec(&spec);
	if (!confirmation_type || nw_add_connections(module) || nw_add_form(module) || nw_add_candidates(module) ||
	    nw_add_finder(module))
		return -1;
	return PyModule_AddObjectRef(module, "Confirmation", (PyObject *)confirmation_type);
}
