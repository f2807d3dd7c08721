// monitor._native.KmsgDecoder: batches of records of /dev/kmsg become events. What it is unsure about it leaves to
// Python.
#define _GNU_SOURCE
#include "kmsg_event.h"

#define LONGEST_RECORD 16384
#define LARGEST_SEQUENCE 1000000000000000000LL // 10^18: differences of two fit
#define LONGEST_HEADER 100		       // as in parse_record
#define DIGITS 18

typedef struct {
	PyObject_HEAD PyObject *counts; // whether a log prefix counts
	struct nw_packet_events events;
} Decoder;

// What BootClock.terms() returns, in seconds.
struct clock {
	double drift, seen, stepped_at, offset_before, offset;
};

struct batch {
	struct clock clock;
	PyObject *events;
	bool has_last;
	long long last;
	Py_ssize_t records, foreign, packets, excluded, malformed[NW_CAUSES];
	long long lost;
};

struct record {
	long long priority, sequence, timestamp_us;
	const char *message;
	int32_t length;
};

// BootClock.wall_s.
static double wall_s(const struct clock *clock, long long timestamp_us)
{
	double monotonic = (double)timestamp_us / 1e6 + clock->drift;

	if (clock->seen < monotonic)
		monotonic = clock->seen;
	return monotonic + (monotonic <= clock->stepped_at ? clock->offset_before : clock->offset);
}

// Whether lines with this log prefix count; -1 with an exception set.
static int prefix_counts(Decoder *self, PyObject *prefix, struct nw_slot *slot)
{
	int counts = slot ? slot->counts : -1;

	if (counts < 0) {
		PyObject *answer = PyObject_CallOneArg(self->counts, prefix);

		counts = answer ? PyObject_IsTrue(answer) : -1;
		Py_XDECREF(answer);
		if (slot && slot->string == prefix)
			slot->counts = counts;
	}
	return counts;
}

// Append the event, unless its prefix is excluded: 0, or -1 with an exception set.
static int enter(Decoder *self, struct batch *batch, const struct nw_packet *packet, long long timestamp_us)
{
	struct nw_slot *slot;
	PyObject *prefix = nw_shared_string(&self->events, packet->prefix, &slot);
	int counts = prefix ? prefix_counts(self, prefix, slot) : -1;
	PyObject *event;
	int result = counts < 0 ? -1 : 0;

	batch->packets++;
	batch->excluded += counts == 0;
	if (counts > 0) {
		event = nw_packet_event(&self->events, packet, prefix, wall_s(&batch->clock, timestamp_us));
		result = event ? PyList_Append(batch->events, event) : -1;
		Py_XDECREF(event);
	}
	Py_XDECREF(prefix);
	return result;
}

static bool header_number(const char **at, const char *end, long long *value)
{
	const char *first = *at;

	for (*value = 0; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		if (*at - first >= DIGITS)
			return false;
		*value = *value * 10 + (**at - '0');
	}
	return *at > first && *at < end && *(*at)++ == ',';
}

// Split a record as parse_record does; false for one whose header is not what the kernel writes.
static bool split(const char *raw, Py_ssize_t length, struct record *record)
{
	const char *at = raw, *end = raw + length;
	const char *line_end;

	if (!header_number(&at, end, &record->priority) || !header_number(&at, end, &record->sequence) ||
	    !header_number(&at, end, &record->timestamp_us))
		return false;
	at = memchr(at, ';', (size_t)(end - at));
	if (!at || at - raw > LONGEST_HEADER)
		return false;
	record->message = at + 1;
	line_end = memchr(record->message, '\n', (size_t)(end - record->message));
	record->length = (int32_t)((line_end ? line_end : end) - record->message);
	return true;
}

static bool is_packet_line(const struct record *record)
{
	size_t length = (size_t)record->length;

	return memmem(record->message, length, "IN=", 3) && memmem(record->message, length, " OUT=", 5);
}

static enum nw_verdict decode_line(const struct record *record, struct nw_packet *packet, char *space)
{
	const char *text = record->message;
	int32_t length = record->length;

	if (!nw_is_ascii(text, length))
		return NW_UNSURE;
	if (text[length - 1] == ' ')
		return nw_decode_line(text, length, true, packet);
	memcpy(space, text, (size_t)length);
	space[length] = ' ';
	return nw_decode_line(space, length + 1, false, packet);
}

// Take one record: 1, 0 if Python must, -1 with an exception set.
static int take_record(Decoder *self, struct batch *batch, PyObject *item)
{
	char space[LONGEST_RECORD + 1]; // `packet` may point into it
	struct nw_packet packet;
	struct record record;
	enum nw_verdict verdict = NW_PACKET;
	bool is_foreign, is_packet;

	if (PyBytes_GET_SIZE(item) > LONGEST_RECORD || !split(PyBytes_AS_STRING(item), PyBytes_GET_SIZE(item), &record))
		return 0;
	if (batch->has_last && record.sequence <= batch->last)
		return 1;
	is_foreign = record.priority >> 3;
	is_packet = !is_foreign && is_packet_line(&record);
	if (is_packet)
		verdict = decode_line(&record, &packet, space);
	if (verdict == NW_UNSURE)
		return 0;
	if (batch->has_last)
		batch->lost += record.sequence - batch->last - 1;
	batch->has_last = true;
	batch->last = record.sequence;
	batch->records++;
	batch->foreign += is_foreign;
	if (verdict < NW_CAUSES)
		batch->malformed[verdict]++;
	else if (is_packet && enter(self, batch, &packet, record.timestamp_us))
		return -1;
	return 1;
}

static PyObject *decode(PyObject *object, PyObject *arguments)
{
	Decoder *self = (Decoder *)object;
	struct batch batch = {0};
	struct clock *clock = &batch.clock;
	PyObject *records, *last;
	Py_ssize_t at;
	int overflow, taken = 1;

	if (!PyArg_ParseTuple(arguments, "O!nO!O(ddddd)", &PyList_Type, &records, &at, &PyList_Type, &batch.events,
			      &last, &clock->drift, &clock->seen, &clock->stepped_at, &clock->offset_before,
			      &clock->offset))
		return NULL;
	if (last != Py_None) {
		batch.has_last = true;
		batch.last = PyLong_AsLongLongAndOverflow(last, &overflow);
		if (batch.last == -1 && PyErr_Occurred())
			return NULL;
		if (overflow || batch.last < -LARGEST_SEQUENCE)
			taken = 0;
	}
	for (; taken > 0 && at >= 0 && at<PyList_GET_SIZE(records); at += taken> 0) {
		PyObject *item = Py_NewRef(PyList_GET_ITEM(records, at));

		taken = PyBytes_Check(item) ? take_record(self, &batch, item) : 0;
		Py_DECREF(item);
	}
	if (taken < 0)
		return NULL;
	last = batch.has_last && batch.records ? PyLong_FromLongLong(batch.last) : Py_NewRef(last);
	return Py_BuildValue("nNnLnnn(nnnnn)", at, last, batch.records, batch.lost, batch.foreign, batch.packets,
			     batch.excluded, batch.malformed[0], batch.malformed[1], batch.malformed[2],
			     batch.malformed[3], batch.malformed[4]);
}

static PyObject *decoder_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
	static char *names[] = {"packet", "quoted", "counts", NULL};
	PyObject *packet, *quoted, *counts;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOO", names, &packet, &quoted, &counts))
		return NULL;
	Decoder *self = (Decoder *)type->tp_alloc(type, 0);
	if (self) {
		self->events.packet = Py_NewRef(packet);
		self->events.quoted = Py_NewRef(quoted);
		self->counts = Py_NewRef(counts);
	}
	return (PyObject *)self;
}

static int decoder_traverse(PyObject *object, visitproc visit, void *arg)
{
	Decoder *self = (Decoder *)object;

	Py_VISIT(Py_TYPE(object));
	Py_VISIT(self->counts);
	return nw_packet_events_traverse(&self->events, visit, arg);
}

static int decoder_clear(PyObject *object)
{
	Decoder *self = (Decoder *)object;

	Py_CLEAR(self->counts);
	nw_packet_events_clear(&self->events);
	return 0;
}

static void decoder_dealloc(PyObject *object)
{
	PyTypeObject *type = Py_TYPE(object);

	PyObject_GC_UnTrack(object);
	(void)decoder_clear(object);
	type->tp_free(object);
	Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"decode", decode, METH_VARARGS, PyDoc_STR("Decode records; see monitor/_native.pyi.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("Decodes records of /dev/kmsg; see monitor/_native.pyi.")},
    {Py_tp_new, decoder_new},
    {Py_tp_traverse, decoder_traverse},
    {Py_tp_clear, decoder_clear},
    {Py_tp_dealloc, decoder_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "monitor._native.KmsgDecoder",
    .basicsize = sizeof(Decoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

int nw_add_kmsg(PyObject *module)
{
	PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
	int result = type ? PyModule_AddObjectRef(module, "KmsgDecoder", type) : -1;

	Py_XDECREF(type);
	return result;
}
