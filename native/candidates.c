// monitor._native.Candidates: takes the matches of Hyperscan, and is the sequence of candidates that
// BlockScanner.candidates makes of them.
#include "candidates.h"
#include <stdbool.h>

#define MOST_HITS (1 << 24)

struct hit {
	Py_ssize_t end;
	Py_ssize_t fragment;
};

struct line {
	struct nw_candidate first;
	Py_ssize_t hit, hits;
};

typedef struct {
	PyObject_HEAD PyObject *numbers; // a list: of each fragment, a tuple of the numbers of its expressions
	struct hit *hits;
	struct line *lines;
	Py_ssize_t hits_total, hits_room, lines_total;
	bool is_sorted;
} CandidatesObject;

static PyTypeObject *candidates_type;

static int compare(const void *one, const void *other)
{
	const struct hit *left = one, *right = other;

	if (left->end != right->end)
		return left->end < right->end ? -1 : 1;
	return (left->fragment > right->fragment) - (left->fragment < right->fragment);
}

static int grow(CandidatesObject *self)
{
	Py_ssize_t room = self->hits_room ? 2 * self->hits_room : 256;
	struct hit *hits;

	if (room > MOST_HITS || !(hits = PyMem_Realloc(self->hits, (size_t)room * sizeof(*hits)))) {
		PyErr_NoMemory();
		return -1;
	}
	self->hits = hits;
	self->hits_room = room;
	return 0;
}

int nw_candidates_add(PyObject *candidates, Py_ssize_t fragment, Py_ssize_t end)
{
	CandidatesObject *self = (CandidatesObject *)candidates;
	struct hit *hit;

	if (!Py_IS_TYPE(candidates, candidates_type) || self->lines) {
		PyErr_SetString(PyExc_TypeError, "matches are added to Candidates that are not joined yet");
		return -1;
	}
	if (fragment < 0 || end < 1 || fragment >= PyList_GET_SIZE(self->numbers)) {
		PyErr_SetString(PyExc_ValueError, "there is no such fragment or line");
		return -1;
	}
	if (self->hits_total == self->hits_room && grow(self))
		return -1;
	hit = &self->hits[self->hits_total];
	hit->fragment = fragment;
	hit->end = end;
	self->is_sorted = self->is_sorted && (!self->hits_total || compare(hit - 1, hit) <= 0);
	self->hits_total++;
	return 0;
}

static PyObject *candidates_add(PyObject *object, PyObject *const *arguments, Py_ssize_t total)
{
	Py_ssize_t fragment, end;

	if (total != 5) {
		PyErr_SetString(PyExc_TypeError, "add(number, start, end, flags, context)");
		return NULL;
	}
	fragment = PyLong_AsSsize_t(arguments[0]);
	end = PyLong_AsSsize_t(arguments[2]);
	if ((fragment == -1 || end == -1) && PyErr_Occurred())
		return NULL;
	if (nw_candidates_add(object, fragment, end))
		return NULL;
	Py_RETURN_NONE;
}

// The least of the numbers of the fragments that a line contains; -1 with an exception.
static Py_ssize_t least_number(CandidatesObject *self, const struct hit *hits, Py_ssize_t total)
{
	Py_ssize_t least = PY_SSIZE_T_MAX;

	for (Py_ssize_t index = 0; index < total; index++) {
		PyObject *numbers = PyList_GET_ITEM(self->numbers, hits[index].fragment);

		for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(numbers); at++) {
			Py_ssize_t number = PyLong_AsSsize_t(PyTuple_GET_ITEM(numbers, at));

			if (number == -1 && PyErr_Occurred())
				return -1;
			least = number < least ? number : least;
		}
	}
	return least;
}

// Make lines of the hits.
static PyObject *candidates_join(PyObject *object, PyObject *data)
{
	CandidatesObject *self = (CandidatesObject *)object;
	const char *text, *before;

	if (!PyBytes_Check(data) || self->lines) {
		PyErr_SetString(PyExc_TypeError, "join(data) takes bytes, once");
		return NULL;
	}
	text = PyBytes_AS_STRING(data);
	if (!self->is_sorted)
		qsort(self->hits, (size_t)self->hits_total, sizeof(*self->hits), compare);
	self->lines = PyMem_Malloc((size_t)(self->hits_total + 1) * sizeof(*self->lines));
	if (!self->lines)
		return PyErr_NoMemory();
	for (Py_ssize_t index = 0, next; index < self->hits_total; index = next) {
		struct line *line = &self->lines[self->lines_total];
		Py_ssize_t end = self->hits[index].end;

		for (next = index + 1; next < self->hits_total && self->hits[next].end == end; next++)
			;
		if (end > PyBytes_GET_SIZE(data)) {
			PyErr_SetString(PyExc_ValueError, "a match ends after the block");
			return NULL;
		}
		before = end > 1 ? memrchr(text, '\n', (size_t)end - 1) : NULL;
		line->first.start = before ? before - text + 1 : 0;
		line->first.end = end;
		line->first.number = least_number(self, self->hits + index, next - index);
		if (line->first.number < 0)
			return NULL;
		line->hit = index;
		line->hits = next - index;
		self->lines_total++;
	}
	Py_RETURN_NONE;
}

static PyObject *numbers_of(CandidatesObject *self, const struct line *line)
{
	const struct hit *hits = self->hits + line->hit;
	PyObject *several;

	if (line->hits == 1)
		return Py_NewRef(PyList_GET_ITEM(self->numbers, hits->fragment));
	several = PyList_New(0);
	for (Py_ssize_t index = 0; several && index < line->hits; index++) {
		PyObject *one = PyList_GET_ITEM(self->numbers, hits[index].fragment);
		Py_ssize_t end = PyList_GET_SIZE(several);

		if (PyList_SetSlice(several, end, end, one))
			Py_CLEAR(several);
	}
	if (several && PyList_Sort(several))
		Py_CLEAR(several);
	return several;
}

static PyObject *candidates_item(PyObject *object, Py_ssize_t index)
{
	CandidatesObject *self = (CandidatesObject *)object;
	PyObject *numbers;

	if (index < 0 || index >= self->lines_total) {
		PyErr_SetString(PyExc_IndexError, "there is no such candidate");
		return NULL;
	}
	numbers = numbers_of(self, &self->lines[index]);
	if (!numbers)
		return NULL;
	return Py_BuildValue("nnN", self->lines[index].first.start, self->lines[index].first.end, numbers);
}

static Py_ssize_t candidates_length(PyObject *object)
{
	return ((CandidatesObject *)object)->lines_total;
}

// The first of a sequence of numbers, or 0 for None, which stands for all.
static Py_ssize_t first_of(PyObject *numbers)
{
	PyObject *first;
	Py_ssize_t number;

	if (numbers == Py_None)
		return 0;
	first = PySequence_GetItem(numbers, 0);
	number = first ? PyLong_AsSsize_t(first) : -1;
	Py_XDECREF(first);
	if (number < 0 && !PyErr_Occurred())
		PyErr_SetString(PyExc_ValueError, "there is no such expression");
	return number;
}

int nw_candidate_at(PyObject *candidates, Py_ssize_t index, struct nw_candidate *found)
{
	PyObject *item, *numbers;

	if (Py_IS_TYPE(candidates, candidates_type)) {
		CandidatesObject *self = (CandidatesObject *)candidates;

		if (index < self->lines_total) {
			*found = self->lines[index].first;
			return 0;
		}
	}
	item = PySequence_GetItem(candidates, index);
	if (!item)
		return -1;
	if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "nnO", &found->start, &found->end, &numbers)) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_TypeError, "a candidate is a tuple of three");
		Py_DECREF(item);
		return -1;
	}
	found->number = first_of(numbers);
	Py_DECREF(item);
	return found->number < 0 ? -1 : 0;
}

static PyObject *candidates_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
	static char *words[] = {"numbers", NULL};
	CandidatesObject *self;
	PyObject *numbers;

	if (!PyArg_ParseTupleAndKeywords(arguments, named, "O!", words, &PyList_Type, &numbers))
		return NULL;
	for (Py_ssize_t index = 0; index < PyList_GET_SIZE(numbers); index++)
		if (!PyTuple_Check(PyList_GET_ITEM(numbers, index))) {
			PyErr_SetString(PyExc_TypeError, "the numbers of a fragment are a tuple");
			return NULL;
		}
	self = (CandidatesObject *)type->tp_alloc(type, 0);
	if (!self)
		return NULL;
	self->is_sorted = true;
	self->numbers = PyList_GetSlice(numbers, 0, PyList_GET_SIZE(numbers)); // nobody else can change it
	if (!self->numbers)
		Py_CLEAR(self);
	return (PyObject *)self;
}

static void candidates_dealloc(PyObject *object)
{
	PyTypeObject *type = Py_TYPE(object);
	CandidatesObject *self = (CandidatesObject *)object;

	Py_XDECREF(self->numbers);
	PyMem_Free(self->hits);
	PyMem_Free(self->lines);
	type->tp_free(object);
	Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"add", (PyCFunction)(void (*)(void))candidates_add, METH_FASTCALL, NULL},
    {"join", candidates_join, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, candidates_new},
    {Py_tp_dealloc, candidates_dealloc},
    {Py_tp_methods, methods},
    {Py_sq_length, candidates_length},
    {Py_sq_item, candidates_item},
    {Py_tp_doc, "The lines of a block that some expression may match."},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "monitor._native.Candidates",
    .basicsize = sizeof(CandidatesObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int nw_add_candidates(PyObject *module)
{
	candidates_type = (PyTypeObject *)PyType_FromSpec(&spec);
	if (!candidates_type)
		return -1;
	return PyModule_AddObjectRef(module, "Candidates", (PyObject *)candidates_type);
}
