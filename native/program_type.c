// monitor._native.Program: a program that Python code can hold, and try.
#include "native.h"
#include "program.h"

typedef struct {
	PyObject_HEAD nw_program *program;
} ProgramObject;

static PyObject *gave_up;

static PyObject *program_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
	static char *names[] = {"words", NULL};
	Py_buffer words;
	const char *problem;
	ProgramObject *self = NULL;
	nw_program *program;

	if (!PyArg_ParseTupleAndKeywords(arguments, named, "y*", names, &words))
		return NULL;
	program = PyMem_Malloc(sizeof(*program) + (size_t)words.len + sizeof(uint32_t));
	if (!program) {
		PyErr_NoMemory();
		goto done;
	}
	memcpy(program->words, words.buf, (size_t)words.len);
	if (words.len % 4 || !nw_program_verify(program->words, (size_t)words.len / 4, &problem)) {
		PyErr_SetString(PyExc_ValueError, words.len % 4 ? "it does not consist of words" : problem);
		PyMem_Free(program);
		goto done;
	}
	program->groups = program->words[1];
	program->counters = program->words[2];
	program->sets = program->words[3];
	program->length = program->words[4];
	program->set = program->words + NW_HEADER_WORDS;
	program->code = program->set + (size_t)NW_SET_WORDS * program->sets;
	self = (ProgramObject *)type->tp_alloc(type, 0);
	if (self)
		self->program = program;
	else
		PyMem_Free(program);
done:
	PyBuffer_Release(&words);
	return (PyObject *)self;
}

static void program_dealloc(PyObject *object)
{
	PyTypeObject *type = Py_TYPE(object);

	PyMem_Free(((ProgramObject *)object)->program);
	type->tp_free(object);
	Py_DECREF(type);
}

static PyObject *program_match(PyObject *object, PyObject *arguments, PyObject *named)
{
	static char *names[] = {"text", "start", "max_steps", NULL};
	const nw_program *program = ((ProgramObject *)object)->program;
	int32_t spans[NW_MAX_SLOTS];
	const char *text;
	Py_ssize_t length, start = 0;
	unsigned int max_steps = NW_MAX_STEPS;
	PyObject *found;

	if (!PyArg_ParseTupleAndKeywords(arguments, named, "y#|nI", names, &text, &length, &start, &max_steps))
		return NULL;
	if (length < 1 || length > 1 << 24 || start < 0 || start > length) {
		PyErr_SetString(PyExc_ValueError, "the text is empty or too long, or starts beyond its end");
		return NULL;
	}
	if (!nw_is_ascii(text, length)) {
		PyErr_SetString(PyExc_ValueError, "the text is not ASCII");
		return NULL;
	}
	switch (nw_match(program, (const uint8_t *)text, (int32_t)length, (int32_t)start, spans, max_steps)) {
	case NW_NO_MATCH:
		Py_RETURN_NONE;
	case NW_GAVE_UP:
		PyErr_SetNone(gave_up);
		return NULL;
	default:
		break;
	}
	found = PyTuple_New(2 * ((Py_ssize_t)program->groups + 1));
	for (Py_ssize_t slot = 0; found && slot < PyTuple_GET_SIZE(found); slot++) {
		PyObject *position = PyLong_FromLong(spans[slot]);

		if (!position)
			Py_CLEAR(found);
		else
			PyTuple_SET_ITEM(found, slot, position);
	}
	return found;
}

static PyMethodDef methods[] = {
    {"match", (PyCFunction)(void (*)(void))program_match, METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, program_new},
    {Py_tp_dealloc, program_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "A verified program of the matcher."},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "monitor._native.Program",
    .basicsize = sizeof(ProgramObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

static PyTypeObject *program_type;

const nw_program *nw_program_of(PyObject *object)
{
	return Py_IS_TYPE(object, program_type) ? ((ProgramObject *)object)->program : NULL;
}

int nw_add_regex(PyObject *module)
{
	program_type = (PyTypeObject *)PyType_FromSpec(&spec);
	gave_up = PyErr_NewException("monitor._native.GaveUp", NULL, NULL);
	if (!program_type || !gave_up)
		return -1;
	if (PyModule_AddObjectRef(module, "Program", (PyObject *)program_type))
		return -1;
	return PyModule_AddObjectRef(module, "GaveUp", gave_up);
}
