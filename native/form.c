// monitor._native.Form: a program and what its groups mean.
#include "form.h"

#define MAX_ALTERNATIVES 16
#define STEPS NW_MAX_STEPS

// What an expression names on one side of a group: monitor/filters/joints.py.
struct joint {
	uint64_t characters[2];
	bool is_certain;
};

struct nw_form {
	const nw_program *program;
	int groups[NW_FIELDS]; // 0: it has no such group
	struct {
		int field, group;
	} alternatives[MAX_ALTERNATIVES];
	int alternatives_total;
	struct joint before[2], after[2]; // of ip4 and ip6
	int fraction;			  // the group of the fraction of a second; 0: none
	bool is_connected;
};

typedef struct {
	PyObject_HEAD nw_form form;
	PyObject *program;
} FormObject;

static PyTypeObject *form_type;

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_alnum(char byte)
{
	return is_digit(byte) || ((byte | 32) >= 'a' && (byte | 32) <= 'z');
}

static bool names(const struct joint *joint, char byte)
{
	unsigned char at = (unsigned char)byte;

	if (at >= 'A' && at <= 'Z')
		at |= 32;
	return at < 128 && joint->characters[at >> 6] >> (at & 63) & 1;
}

static bool expects(const struct joint *joint, char byte)
{
	return joint->is_certain && names(joint, byte);
}

// Whether a dot and a port follow.
static bool has_port(const char *text, int32_t left)
{
	int32_t digits = 0;

	if (!left || text[0] != '.')
		return false;
	while (digits < 6 && digits + 1 < left && is_digit(text[digits + 1]))
		digits++;
	if (!digits || digits > 5)
		return false;
	if (digits + 1 >= left)
		return true;
	return !is_alnum(text[digits + 1]) && text[digits + 1] != '_' && text[digits + 1] != '.';
}

// Whether the text around an address continues it: _is_cut of groups.py.
static bool is_cut(const nw_form *form, int side, const char *line, int32_t length, const int32_t *spans, int group)
{
	const struct joint *before = &form->before[side], *after = &form->after[side];
	int32_t start = spans[2 * group], end = spans[2 * group + 1];
	char next = end < length ? line[end] : '\0', last;
	bool is_joint;

	if (start && line[start - 1] == ' ' && next == ' ')
		return false;
	if (start) {
		last = line[start - 1];
		if ((is_alnum(last) || last == '.' || last == '_') && !expects(before, last))
			return true;
	}
	if (end >= length)
		return false;
	if (expects(after, next) || (names(after, '.') && has_port(line + end, length - end)))
		return false;
	if (is_alnum(next) || next == '_')
		return true;
	is_joint = next == '.' || (next == ':' && memchr(line + start, ':', (size_t)(end - start)) && spans[1] == end);
	return is_joint && end + 1 < length && is_alnum(line[end + 1]);
}

static void take(struct nw_value *value, const char *line, const int32_t *spans, int group)
{
	int32_t start = group ? spans[2 * group] : -1;

	value->object = NULL;
	value->text = start < 0 ? NULL : line + start;
	value->length = start < 0 ? 0 : spans[2 * group + 1] - start;
}

void nw_form_values(const nw_form *form, const char *line, int32_t length, const int32_t *spans,
		    struct nw_value values[NW_FIELDS])
{
	for (int field = 0; field < NW_FIELDS; field++)
		take(&values[field], line, spans, form->groups[field]);
	for (int side = 0; side < 2; side++) {
		struct nw_value *address = &values[NW_IP4 + side];

		if (address->length && is_cut(form, side, line, length, spans, form->groups[NW_IP4 + side]))
			address->length = 0;
	}
	for (int index = 0; index < form->alternatives_total; index++) {
		int field = form->alternatives[index].field, group = form->alternatives[index].group;

		if (!values[field].length && spans[2 * group] < spans[2 * group + 1])
			take(&values[field], line, spans, group);
	}
}

enum nw_result nw_form_match(const nw_form *form, const char *line, int32_t length, int32_t spans[NW_MAX_SPANS])
{
	return nw_match(form->program, (const uint8_t *)line, length, 0, spans, STEPS);
}

int32_t nw_form_date(const nw_form *form, const char *line, const int32_t *spans, char *text, int32_t room)
{
	int32_t start, end, dot = -1, after = 0, head;

	if (nw_program_groups(form->program) < 1)
		return -1;
	start = spans[2], end = spans[3];
	if (form->fraction)
		dot = spans[2 * form->fraction], after = spans[2 * form->fraction + 1];
	if (start < 0 || end - start > room || (dot >= 0 && (dot < start || after > end)))
		return -1;
	head = (dot < 0 ? end : dot) - start;
	memcpy(text, line + start, (size_t)head);
	if (dot < 0)
		return head;
	memcpy(text + head, line + after, (size_t)(end - after));
	return head + end - after;
}

bool nw_form_is_connected(const nw_form *form)
{
	return form->is_connected;
}

const nw_form *nw_form_of(PyObject *object)
{
	return Py_IS_TYPE(object, form_type) ? &((FormObject *)object)->form : NULL;
}

static bool is_group(const nw_form *form, long group, bool may_be_none)
{
	return group >= (may_be_none ? 0 : 1) && group <= nw_program_groups(form->program);
}

static int read_groups(nw_form *form, PyObject *groups)
{
	if (PyTuple_GET_SIZE(groups) != NW_FIELDS)
		return -1;
	for (int field = 0; field < NW_FIELDS; field++) {
		long group = PyLong_AsLong(PyTuple_GET_ITEM(groups, field));

		if (!is_group(form, group, true))
			return -1;
		form->groups[field] = (int)group;
	}
	return 0;
}

static int read_alternatives(nw_form *form, PyObject *alternatives)
{
	Py_ssize_t total = PyTuple_GET_SIZE(alternatives);

	if (total > MAX_ALTERNATIVES)
		return -1;
	for (Py_ssize_t index = 0; index < total; index++) {
		int field, group;

		if (!PyArg_ParseTuple(PyTuple_GET_ITEM(alternatives, index), "ii", &field, &group))
			return -1;
		if (field < 0 || field >= NW_FIELDS || !is_group(form, group, false))
			return -1;
		form->alternatives[index].field = field;
		form->alternatives[index].group = group;
	}
	form->alternatives_total = (int)total;
	return 0;
}

static int read_joint(struct joint *joint, PyObject *given)
{
	const char *characters;
	Py_ssize_t length;
	int is_certain;

	if (!PyArg_ParseTuple(given, "y#p", &characters, &length, &is_certain))
		return -1;
	for (Py_ssize_t index = 0; index < length; index++) {
		unsigned char byte = (unsigned char)characters[index];

		if (byte < 128)
			joint->characters[byte >> 6] |= 1ull << (byte & 63);
	}
	joint->is_certain = is_certain;
	return 0;
}

static int read_joints(nw_form *form, PyObject *joints)
{
	if (PyTuple_GET_SIZE(joints) != 4)
		return -1;
	for (int side = 0; side < 2; side++)
		if (read_joint(&form->before[side], PyTuple_GET_ITEM(joints, 2 * side)) ||
		    read_joint(&form->after[side], PyTuple_GET_ITEM(joints, 2 * side + 1)))
			return -1;
	return 0;
}

static PyObject *form_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
	static char *words[] = {"program", "groups", "alternatives", "joints", "fraction", "is_connected", NULL};
	PyObject *program, *groups, *alternatives, *joints;
	int fraction, is_connected;
	FormObject *self;
	nw_form *form;

	if (!PyArg_ParseTupleAndKeywords(arguments, named, "OO!O!O!ip", words, &program, &PyTuple_Type, &groups,
					 &PyTuple_Type, &alternatives, &PyTuple_Type, &joints, &fraction,
					 &is_connected))
		return NULL;
	self = (FormObject *)type->tp_alloc(type, 0);
	if (!self)
		return NULL;
	form = &self->form;
	form->program = nw_program_of(program);
	form->fraction = fraction;
	form->is_connected = is_connected;
	if (form->program)
		self->program = Py_NewRef(program);
	if (!form->program || nw_program_slots(form->program) > NW_MAX_SPANS || !is_group(form, fraction, true) ||
	    read_groups(form, groups) || read_alternatives(form, alternatives) || read_joints(form, joints)) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_ValueError, "the program does not have these groups");
		Py_CLEAR(self);
	}
	return (PyObject *)self;
}

static void form_dealloc(PyObject *object)
{
	PyTypeObject *type = Py_TYPE(object);

	Py_XDECREF(((FormObject *)object)->program);
	type->tp_free(object);
	Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_new, form_new},
    {Py_tp_dealloc, form_dealloc},
    {Py_tp_doc, "A program and what its groups mean."},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "monitor._native.Form",
    .basicsize = sizeof(FormObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int nw_add_form(PyObject *module)
{
	form_type = (PyTypeObject *)PyType_FromSpec(&spec);
	if (!form_type)
		return -1;
	return PyModule_AddObjectRef(module, "Form", (PyObject *)form_type);
}
