// monitor._native.Connections: a hash table of connections, and a list of them from the least to the most recently
// seen.
#include "connections.h"
#include "siphash.h"

#define MAX_AGE_S 300.0
#define LIMIT 4096
#define BUCKETS 8192

struct nw_connection {
	struct nw_connection *next; // of the same bucket
	struct nw_connection *older, *newer;
	uint64_t hash;
	double seen_s;
	PyObject *values[NW_KEPT];
	PyObject *user; // the first user name that was tried
	bool has_more_users;
	bool is_pending; // it failed while its address was not known
	bool is_known;	 // the table has it
	Py_ssize_t length;
	char identity[];
};

struct nw_connections {
	struct nw_connection *buckets[BUCKETS];
	struct nw_connection *oldest, *newest;
	Py_ssize_t total, limit, evicted;
	uint64_t key[2];
};

typedef struct {
	PyObject_HEAD nw_connections *table;
} ConnectionsObject;

static PyTypeObject *connections_type;
static PyObject *field_names[NW_FIELDS];
static const char *const names[NW_FIELDS] = {
    "mlfid", "nofail", "mlfforget", "mlfgained", "user", "ip4", "ip6", "dns", "fid", "cidr",
};

PyObject *nw_ascii(const char *text, Py_ssize_t length)
{
	PyObject *made = PyUnicode_New(length, 127);

	if (made)
		memcpy(PyUnicode_1BYTE_DATA(made), text, (size_t)length);
	return made;
}

// Attackers choose identities: the key is secret, and no chain is longer than the table.
static uint64_t hash_of(const nw_connections *table, const char *text, Py_ssize_t length)
{
	return nw_siphash(table->key, text, (size_t)length);
}

static struct nw_connection *find(nw_connections *table, const char *text, Py_ssize_t length, uint64_t hash)
{
	struct nw_connection *one = table->newest;

	// Lines of one connection often follow each other.
	if (one && one->hash == hash && one->length == length && !memcmp(one->identity, text, (size_t)length))
		return one;
	for (one = table->buckets[hash % BUCKETS]; one; one = one->next)
		if (one->hash == hash && one->length == length && !memcmp(one->identity, text, (size_t)length))
			return one;
	return NULL;
}

static void unlink_age(nw_connections *table, struct nw_connection *one)
{
	*(one->older ? &one->older->newer : &table->oldest) = one->newer;
	*(one->newer ? &one->newer->older : &table->newest) = one->older;
}

static void link_newest(nw_connections *table, struct nw_connection *one)
{
	one->older = table->newest;
	one->newer = NULL;
	*(table->newest ? &table->newest->newer : &table->oldest) = one;
	table->newest = one;
}

static void forget(nw_connections *table, struct nw_connection *one)
{
	struct nw_connection **at = &table->buckets[one->hash % BUCKETS];

	while (*at != one)
		at = &(*at)->next;
	*at = one->next;
	unlink_age(table, one);
	table->total--;
	one->is_known = false;
}

void nw_release(struct nw_connection *connection)
{
	if (connection->is_known)
		return;
	for (int index = 0; index < NW_KEPT; index++)
		Py_XDECREF(connection->values[index]);
	Py_XDECREF(connection->user);
	PyMem_Free(connection);
}

static void put(nw_connections *table, struct nw_connection *one)
{
	struct nw_connection **bucket = &table->buckets[one->hash % BUCKETS], *oldest;

	one->next = *bucket;
	*bucket = one;
	one->is_known = true;
	link_newest(table, one);
	if (++table->total > table->limit) {
		oldest = table->oldest;
		forget(table, oldest);
		table->evicted++;
		if (oldest != one)
			nw_release(oldest);
	}
}

static struct nw_connection *make(const struct nw_value *identity, uint64_t hash)
{
	struct nw_connection *one = PyMem_Calloc(1, sizeof(*one) + (size_t)identity->length);

	if (!one) {
		PyErr_NoMemory();
		return NULL;
	}
	one->hash = hash;
	one->length = identity->length;
	memcpy(one->identity, identity->text, (size_t)identity->length);
	return one;
}

static bool is_same(PyObject *known, const struct nw_value *value)
{
	if (PyUnicode_IS_ASCII(known))
		return PyUnicode_GET_LENGTH(known) == value->length &&
		       !memcmp(PyUnicode_1BYTE_DATA(known), value->text, (size_t)value->length);
	return value->object && !PyUnicode_Compare(known, value->object);
}

static int keep(PyObject **slot, const struct nw_value *value)
{
	PyObject *text;

	if (*slot && is_same(*slot, value))
		return 0;
	text = value->object ? Py_NewRef(value->object) : nw_ascii(value->text, value->length);
	if (!text)
		return -1;
	Py_XSETREF(*slot, text);
	return 0;
}

static int learn(struct nw_connection *one, const struct nw_value values[NW_FIELDS])
{
	const struct nw_value *user = &values[NW_USER];

	for (int field = NW_FIRST_KEPT; field < NW_FIELDS; field++) {
		const struct nw_value *value = &values[field];

		if (!value->text || (!value->length && (field == NW_IP4 || field == NW_IP6)))
			continue; // no address is no news
		if (keep(&one->values[field - NW_FIRST_KEPT], value))
			return -1;
	}
	if (!user->text || !user->length)
		return 0;
	if (!one->user)
		one->user = Py_NewRef(one->values[NW_USER - NW_FIRST_KEPT]);
	else if (!is_same(one->user, user))
		one->has_more_users = true;
	return 0;
}

static bool has_text(const struct nw_value *value)
{
	return value->text && value->length;
}

int nw_merge(nw_connections *table, const struct nw_value values[NW_FIELDS], double now_s, struct nw_connection **found)
{
	const struct nw_value *identity = &values[NW_MLFID];
	bool is_gained = has_text(&values[NW_MLFGAINED]), was_pending;
	bool is_nofail = has_text(&values[NW_NOFAIL]) || is_gained;
	bool is_last = has_text(&values[NW_MLFFORGET]);
	uint64_t hash = hash_of(table, identity->text, identity->length);
	struct nw_connection *one = find(table, identity->text, identity->length, hash);

	if (one && !(fabs(now_s - one->seen_s) <= MAX_AGE_S)) {
		forget(table, one);
		nw_release(one);
		one = NULL;
	}
	if (!one) {
		one = make(identity, hash);
		if (!one)
			return -1;
		if (!is_last)
			put(table, one);
	} else if (is_last) {
		forget(table, one);
	} else if (one != table->newest) {
		unlink_age(table, one);
		link_newest(table, one);
	}
	one->seen_s = now_s;
	if (learn(one, values)) {
		nw_release(one);
		return -1;
	}
	was_pending = one->is_pending && !is_gained;
	one->is_pending = false;
	*found = one;
	return !(is_nofail && !was_pending && !one->has_more_users);
}

PyObject *nw_reported(const struct nw_connection *connection, enum nw_field field)
{
	return connection->values[field - NW_FIRST_KEPT];
}

void nw_wait(struct nw_connection *connection)
{
	if (connection->is_known)
		connection->is_pending = true;
}

Py_ssize_t nw_evicted(const nw_connections *table)
{
	return table->evicted;
}

nw_connections *nw_connections_of(PyObject *object)
{
	return Py_IS_TYPE(object, connections_type) ? ((ConnectionsObject *)object)->table : NULL;
}

static PyObject *connections_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
	static char *words[] = {"limit", NULL};
	Py_ssize_t limit = LIMIT;
	ConnectionsObject *self;

	if (!PyArg_ParseTupleAndKeywords(arguments, named, "|n", words, &limit))
		return NULL;
	if (limit < 1 || limit > LIMIT) {
		PyErr_SetString(PyExc_ValueError, "the limit must be between 1 and 4096");
		return NULL;
	}
	self = (ConnectionsObject *)type->tp_alloc(type, 0);
	if (!self)
		return NULL;
	self->table = PyMem_Calloc(1, sizeof(*self->table));
	if (!self->table) {
		Py_DECREF(self);
		return PyErr_NoMemory();
	}
	self->table->limit = limit;
	// The hash of a string depends on Python's secret; it is as good as random here.
	self->table->key[0] = (uint64_t)PyObject_Hash(field_names[NW_MLFGAINED]);
	self->table->key[1] = (uint64_t)PyObject_Hash(field_names[NW_MLFFORGET]);
	return (PyObject *)self;
}

static void connections_dealloc(PyObject *object)
{
	PyTypeObject *type = Py_TYPE(object);
	nw_connections *table = ((ConnectionsObject *)object)->table;

	while (table && table->oldest) {
		struct nw_connection *one = table->oldest;

		forget(table, one);
		nw_release(one);
	}
	PyMem_Free(table);
	type->tp_free(object);
	Py_DECREF(type);
}

// The value of a Python string or None; -1 with an exception for anything else.
static int take(struct nw_value *value, PyObject *object)
{
	value->text = NULL;
	if (!object || object == Py_None)
		return 0;
	value->object = object;
	value->text = PyUnicode_AsUTF8AndSize(object, &value->length);
	return value->text ? 0 : -1;
}

static PyObject *connections_merge(PyObject *object, PyObject *arguments)
{
	struct nw_value values[NW_FIELDS] = {{NULL, 0, NULL}};
	struct nw_connection *one;
	PyObject *identity, *given, *known;
	double now_s;
	int is_failure;

	if (!PyArg_ParseTuple(arguments, "UO!d", &identity, &PyDict_Type, &given, &now_s) ||
	    take(&values[NW_MLFID], identity))
		return NULL;
	for (int field = NW_NOFAIL; field < NW_FIELDS; field++) {
		PyObject *text = PyDict_GetItemWithError(given, field_names[field]);

		if ((!text && PyErr_Occurred()) || take(&values[field], text))
			return NULL;
	}
	is_failure = nw_merge(((ConnectionsObject *)object)->table, values, now_s, &one);
	if (is_failure < 0)
		return NULL;
	if (!is_failure) {
		nw_release(one);
		Py_RETURN_NONE;
	}
	known = PyDict_New();
	for (int field = NW_FIRST_KEPT; known && field < NW_FIELDS; field++) {
		PyObject *text = nw_reported(one, field);

		if (text && PyDict_SetItem(known, field_names[field], text))
			Py_CLEAR(known);
	}
	nw_release(one);
	return known;
}

static PyObject *connections_wait(PyObject *object, PyObject *identity)
{
	nw_connections *table = ((ConnectionsObject *)object)->table;
	struct nw_connection *one;
	Py_ssize_t length;
	const char *text = PyUnicode_AsUTF8AndSize(identity, &length);

	if (!text)
		return NULL;
	one = find(table, text, length, hash_of(table, text, length));
	if (one)
		nw_wait(one);
	Py_RETURN_NONE;
}

static Py_ssize_t connections_length(PyObject *object)
{
	return ((ConnectionsObject *)object)->table->total;
}

static PyObject *connections_evicted(PyObject *object, void *closure)
{
	return PyLong_FromSsize_t(((ConnectionsObject *)object)->table->evicted);
}

static PyMethodDef methods[] = {
    {"merge", connections_merge, METH_VARARGS, NULL},
    {"wait", connections_wait, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {{"evicted", connections_evicted, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_new, connections_new},
    {Py_tp_dealloc, connections_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_sq_length, connections_length},
    {Py_tp_doc, "Recently logged connections; monitor/filters/connections.py in C."},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "monitor._native.Connections",
    .basicsize = sizeof(ConnectionsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

int nw_add_connections(PyObject *module)
{
	for (int field = 0; field < NW_FIELDS; field++) {
		field_names[field] = PyUnicode_InternFromString(names[field]);
		if (!field_names[field])
			return -1;
	}
	connections_type = (PyTypeObject *)PyType_FromSpec(&spec);
	if (!connections_type)
		return -1;
	return PyModule_AddObjectRef(module, "Connections", (PyObject *)connections_type);
}
