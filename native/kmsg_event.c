#include "kmsg_event.h"

#define LONGEST_SHARED 128

PyObject *nw_shared_string(struct nw_packet_events *events, struct nw_text text, struct nw_slot **slot)
{
	uint64_t hash = (uint64_t)text.length, head = 0, tail = 0;
	size_t length = (size_t)text.length;
	PyObject *string;

	*slot = NULL;
	if (length <= LONGEST_SHARED) {
		size_t part = length < 8 ? length : 8;

		memcpy(&head, text.at, part);
		memcpy(&tail, text.at + length - part, part);
		hash = (hash ^ head ^ (tail << 7 | tail >> 57)) * 0x9e3779b97f4a7c15u;
		*slot = &events->slots[hash >> 56 & (NW_SLOTS - 1)];
		string = (*slot)->string;
		if (string && (size_t)PyUnicode_GET_LENGTH(string) == length &&
		    !memcmp(PyUnicode_1BYTE_DATA(string), text.at, length))
			return Py_NewRef(string);
	}
	string = PyUnicode_New(text.length, 127);
	if (!string)
		return NULL;
	if (length)
		memcpy(PyUnicode_1BYTE_DATA(string), text.at, length);
	if (*slot) {
		Py_XSETREF((*slot)->string, Py_NewRef(string));
		(*slot)->counts = -1;
	}
	return string;
}

static PyObject *number_or_none(long value)
{
	return value < 0 ? Py_NewRef(Py_None) : PyLong_FromLong(value);
}

static PyObject *address(const uint8_t *bytes, int count)
{
	return PyBytes_FromStringAndSize((const char *)bytes, count);
}

// Call a type with arguments that this takes over; some may be NULL, then an exception is set.
static PyObject *make(PyObject *type, PyObject **arguments, Py_ssize_t count)
{
	PyObject *made = NULL;
	bool has_all = true;

	for (Py_ssize_t i = 0; i < count; i++)
		has_all = has_all && arguments[i];
	if (has_all)
		made = PyObject_Vectorcall(type, arguments, (size_t)count, NULL);
	for (Py_ssize_t i = 0; i < count; i++)
		Py_XDECREF(arguments[i]);
	return made;
}

static PyObject *make_quoted(struct nw_packet_events *events, const struct nw_header *header)
{
	PyObject *arguments[] = {
	    address(header->source, header->address_bytes),
	    address(header->destination, header->address_bytes),
	    PyLong_FromLong(header->protocol),
	    number_or_none(header->source_port),
	    number_or_none(header->destination_port),
	};

	return make(events->quoted, arguments, sizeof(arguments) / sizeof(*arguments));
}

PyObject *nw_packet_event(struct nw_packet_events *events, const struct nw_packet *packet, PyObject *prefix,
			  double time_s)
{
	const struct nw_header *header = &packet->header;
	struct nw_slot *slot;
	PyObject *arguments[] = {
	    PyFloat_FromDouble(time_s),
	    Py_NewRef(prefix),
	    nw_shared_string(events, packet->interface_in, &slot),
	    nw_shared_string(events, packet->interface_out, &slot),
	    address(header->source, header->address_bytes),
	    address(header->destination, header->address_bytes),
	    PyLong_FromLong(header->protocol),
	    number_or_none(header->source_port),
	    number_or_none(header->destination_port),
	    PyLong_FromLong(header->tcp_flags),
	    nw_shared_string(events, packet->mac, &slot),
	    number_or_none(packet->icmp_type),
	    number_or_none(packet->icmp_code),
	    PyLong_FromUnsignedLong(packet->mark),
	    number_or_none(packet->vlan_id),
	    packet->has_quoted ? make_quoted(events, &packet->quoted) : Py_NewRef(Py_None),
	};

	return make(events->packet, arguments, sizeof(arguments) / sizeof(*arguments));
}

int nw_packet_events_traverse(struct nw_packet_events *events, visitproc visit, void *arg)
{
	Py_VISIT(events->packet);
	Py_VISIT(events->quoted);
	return 0;
}

void nw_packet_events_clear(struct nw_packet_events *events)
{
	Py_CLEAR(events->packet);
	Py_CLEAR(events->quoted);
	for (int i = 0; i < NW_SLOTS; i++)
		Py_CLEAR(events->slots[i].string);
}
