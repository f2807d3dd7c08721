// monitor._native.Finder: an automaton that looks for texts in a block, and programs that confirm fragments on its
// lines (monitor/filters/finder.py).
#include "candidates.h"
#include "native.h"
#include "program.h"

#define MOST_FRAGMENTS 64
#define MOST_STATES 4096
#define LEAST_STEPS 100
#define STEPS_OF_BYTE 8

typedef struct {
	PyObject_HEAD PyObject *programs; // a tuple
	uint16_t *next;			  // states * width
	uint64_t *found;		  // of each state: a bit for each fragment
	Py_ssize_t states, width;
	uint8_t classes[256];
	uint8_t starts[1 << 13]; // a bit for each pair of bytes with which a text starts
} FinderObject;

struct line {
	Py_ssize_t start, end; // with its newline
	uint64_t fragments;    // whose text it contains
};

// Attackers choose lines on which a fragment goes back and forth. Ordinary lines take
// fewer than six steps for each byte.
static uint32_t most_steps(const struct line *line)
{
	Py_ssize_t steps = LEAST_STEPS + STEPS_OF_BYTE * (line->end - line->start);

	return steps < NW_MAX_STEPS ? (uint32_t)steps : NW_MAX_STEPS;
}

// Add a match for each fragment that the line really contains: 0; 1 if that takes too long; -1 with an exception set.
static int confirm(FinderObject *self, const char *text, const struct line *line, PyObject *candidates)
{
	int32_t spans[NW_MAX_SLOTS];
	uint32_t steps = most_steps(line);

	for (uint64_t left = line->fragments; left; left &= left - 1) {
		int fragment = __builtin_ctzll(left);
		const nw_program *program = nw_program_of(PyTuple_GET_ITEM(self->programs, fragment));

		switch (nw_match(program, (const uint8_t *)text + line->start, (int32_t)(line->end - line->start), 0,
				 spans, steps)) {
		case NW_NO_MATCH:
			continue;
		case NW_GAVE_UP:
			return 1;
		default:
			if (nw_candidates_add(candidates, fragment, line->end))
				return -1;
		}
	}
	return 0;
}

// Move to the line around a position.
static void open_line(struct line *line, const char *text, Py_ssize_t length, Py_ssize_t position)
{
	const char *before = position ? memrchr(text, '\n', (size_t)position) : NULL;
	const char *after = memchr(text + position, '\n', (size_t)(length - position));

	line->start = before ? before - text + 1 : 0;
	line->end = after ? after - text + 1 : length;
	line->fragments = 0;
}

static PyObject *finder_search(PyObject *object, PyObject *arguments)
{
	FinderObject *self = (FinderObject *)object;
	const uint8_t *bytes;
	const char *text;
	Py_ssize_t length, state = 0;
	PyObject *candidates;
	struct line line = {0, 0, 0};
	int failed = 0;

	if (!PyArg_ParseTuple(arguments, "y#O", &text, &length, &candidates))
		return NULL;
	if (length > 1 << 30) {
		PyErr_SetString(PyExc_ValueError, "the block is too long");
		return NULL;
	}
	bytes = (const uint8_t *)text;
	for (Py_ssize_t at = 0; at < length; at++) {
		if (!state) {
			uint32_t pair;

			// A text has two bytes at least, and the last byte of a block is a newline.
			for (; at + 1 < length; at++) {
				pair = (uint32_t)bytes[at] << 8 | bytes[at + 1];
				if (self->starts[pair >> 3] >> (pair & 7) & 1)
					break;
			}
		}
		state = self->next[state * self->width + self->classes[bytes[at]]];
		if (!self->found[state])
			continue;
		if (at >= line.end) {
			if (line.fragments && (failed = confirm(self, text, &line, candidates)))
				break;
			open_line(&line, text, length, at);
		}
		line.fragments |= self->found[state];
	}
	if (!failed && line.fragments)
		failed = confirm(self, text, &line, candidates);
	return failed < 0 ? NULL : PyBool_FromLong(!failed);
}

// Read what ends in each state: 0, or -1 with an exception set.
static int read_found(FinderObject *self, PyObject *found)
{
	for (Py_ssize_t state = 0; state < self->states; state++) {
		PyObject *numbers = PyList_GET_ITEM(found, state);

		for (Py_ssize_t index = 0; PyTuple_Check(numbers) && index < PyTuple_GET_SIZE(numbers); index++) {
			Py_ssize_t number = PyLong_AsSsize_t(PyTuple_GET_ITEM(numbers, index));

			if (number < 0 || number >= PyTuple_GET_SIZE(self->programs)) {
				if (!PyErr_Occurred())
					PyErr_SetString(PyExc_ValueError, "there is no such fragment");
				return -1;
			}
			self->found[state] |= UINT64_C(1) << number;
		}
	}
	return 0;
}

// Whether all parts have the sizes that they must have, and lead nowhere else.
static int is_sound(const FinderObject *self, Py_ssize_t classes, Py_ssize_t table, Py_ssize_t starts)
{
	if (classes != 256 || starts != sizeof(self->starts) || self->states < 1 || self->states > MOST_STATES ||
	    self->width < 1 || self->width > 256 || PyTuple_GET_SIZE(self->programs) > MOST_FRAGMENTS ||
	    table != 2 * self->states * self->width)
		return 0;
	for (Py_ssize_t index = 0; index < PyTuple_GET_SIZE(self->programs); index++)
		if (!nw_program_of(PyTuple_GET_ITEM(self->programs, index)))
			return 0;
	return 1;
}

static int leads_nowhere_else(const FinderObject *self)
{
	for (Py_ssize_t index = 0; index < self->states * self->width; index++)
		if (self->next[index] >= self->states)
			return 0;
	for (int byte = 0; byte < 256; byte++)
		if (self->classes[byte] >= self->width)
			return 0;
	return 1;
}

static PyObject *finder_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
	const char *classes, *table, *starts;
	Py_ssize_t classes_length, table_length, starts_length, width;
	PyObject *found, *programs;
	FinderObject *self;

	if (!PyArg_ParseTuple(arguments, "y#ny#y#O!O!", &classes, &classes_length, &width, &table, &table_length,
			      &starts, &starts_length, &PyList_Type, &found, &PyList_Type, &programs))
		return NULL;
	self = (FinderObject *)type->tp_alloc(type, 0);
	if (!self)
		return NULL;
	self->states = PyList_GET_SIZE(found);
	self->width = width;
	self->programs = PyList_AsTuple(programs);
	if (!self->programs)
		goto failed;
	if (!is_sound(self, classes_length, table_length, starts_length))
		goto unsound;
	self->next = PyMem_Malloc((size_t)table_length);
	self->found = PyMem_Calloc((size_t)self->states, sizeof(*self->found));
	if (!self->next || !self->found) {
		PyErr_NoMemory();
		goto failed;
	}
	memcpy(self->classes, classes, sizeof(self->classes));
	memcpy(self->starts, starts, sizeof(self->starts));
	memcpy(self->next, table, (size_t)table_length);
	if (!leads_nowhere_else(self))
		goto unsound;
	if (read_found(self, found))
		goto failed;
	return (PyObject *)self;
unsound:
	PyErr_SetString(PyExc_ValueError, "the parts of the finder do not fit");
failed:
	Py_DECREF(self);
	return NULL;
}

static void finder_dealloc(PyObject *object)
{
	PyTypeObject *type = Py_TYPE(object);
	FinderObject *self = (FinderObject *)object;

	Py_XDECREF(self->programs);
	PyMem_Free(self->next);
	PyMem_Free(self->found);
	type->tp_free(object);
	Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"search", finder_search, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, finder_new},
    {Py_tp_dealloc, finder_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "Finds the lines of a block that contain fragments."},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "monitor._native.Finder",
    .basicsize = sizeof(FinderObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int nw_add_finder(PyObject *module)
{
	PyObject *type = PyType_FromSpec(&spec);
	int result;

	if (!type)
		return -1;
	result = PyModule_AddObjectRef(module, "Finder", type);
	Py_DECREF(type);
	return result;
}
