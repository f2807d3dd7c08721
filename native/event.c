#include "event.h"
#include <arpa/inet.h>

#define MAX_USER 64
#define MAX_LINE 400 // MAX_LAST of monitor/model/alerts.py
#define ODD_S 60.0
#define ZONE_STEP_S 900.0
#define ZONES_S (26 * 3600.0)

static bool is_zone_difference(double age_s)
{
	double away_s = fmod(age_s + ZONE_STEP_S / 2, ZONE_STEP_S);

	if (away_s < 0)
		away_s += ZONE_STEP_S; // as Python's %
	away_s -= ZONE_STEP_S / 2;
	return age_s <= ZONES_S + ODD_S && fabs(away_s) <= ODD_S;
}

static double earlier(double time_s, double now_s)
{
	return now_s < time_s ? now_s : time_s;
}

// The wall time of a failure; false: it is older than what counts.
static bool find_when(struct nw_maker *maker, const struct nw_line *line, double *when_s)
{
	double now_s = maker->read_s, time_s = line->time_s, age_s = now_s - time_s;

	*when_s = now_s;
	if (line->has_time && time_s < maker->after_s) {
		maker->counts[NW_OUTDATED]++;
		return false;
	}
	if (!maker->is_live) {
		if (!line->has_time || time_s < now_s - maker->findtime_s) {
			maker->counts[NW_OUTDATED]++;
			return false;
		}
		if (time_s > now_s + ODD_S)
			maker->counts[NW_MISDATED]++;
		*when_s = earlier(time_s, now_s);
		return true;
	}
	if (!line->has_time)
		return true;
	if (fabs(time_s - now_s) <= ODD_S) {
		*when_s = earlier(time_s, now_s);
		return true;
	}
	if (age_s > maker->findtime_s + ODD_S && (line->is_zoned || !is_zone_difference(age_s))) {
		maker->counts[NW_STALE]++;
		return false;
	}
	maker->counts[NW_MISDATED]++;
	return true;
}

// The bytes of an address; NULL without an exception if the text is none.
static PyObject *parse_address(const struct nw_value *host)
{
	static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	unsigned char packed[16];
	char text[64];

	if (host->length >= (Py_ssize_t)sizeof(text) || memchr(host->text, '\0', (size_t)host->length))
		return NULL;
	memcpy(text, host->text, (size_t)host->length);
	text[host->length] = '\0';
	if (!strchr(text, ':'))
		return inet_pton(AF_INET, text, packed) == 1 ? PyBytes_FromStringAndSize((char *)packed, 4) : NULL;
	if (inet_pton(AF_INET6, text, packed) != 1)
		return NULL;
	if (!memcmp(packed, mapped, sizeof(mapped)))
		return PyBytes_FromStringAndSize((char *)packed + 12, 4);
	return PyBytes_FromStringAndSize((char *)packed, 16);
}

static PyObject *user_text(const struct nw_value *user)
{
	if (!user->text)
		return PyUnicode_New(0, 0);
	if (!user->object)
		return nw_ascii(user->text, user->length < MAX_USER ? user->length : MAX_USER);
	if (PyUnicode_GET_LENGTH(user->object) <= MAX_USER)
		return Py_NewRef(user->object);
	return PyUnicode_Substring(user->object, 0, MAX_USER);
}

// The length of a prefix as a Python object: None if there is none, or if it is longer than the address.
static PyObject *prefix_length(const struct nw_value *cidr, Py_ssize_t address_bytes)
{
	PyObject *text, *number;
	Py_ssize_t characters;
	long bits;

	if (!cidr->text || !cidr->length)
		Py_RETURN_NONE;
	characters = cidr->object ? PyUnicode_GET_LENGTH(cidr->object) : cidr->length;
	if (characters >= 4)
		Py_RETURN_NONE;
	text = cidr->object ? Py_NewRef(cidr->object) : nw_ascii(cidr->text, cidr->length);
	if (!text)
		return NULL;
	for (Py_ssize_t index = 0; index < PyUnicode_GET_LENGTH(text); index++)
		if (!Py_UNICODE_ISDECIMAL(PyUnicode_READ_CHAR(text, index))) {
			Py_DECREF(text);
			Py_RETURN_NONE; // a filter may have a group of its own
		}
	number = PyLong_FromUnicodeObject(text, 10);
	Py_DECREF(text);
	if (!number)
		return NULL;
	bits = PyLong_AsLong(number); // at most three digits
	if (bits <= 8 * address_bytes)
		return number;
	Py_DECREF(number);
	Py_RETURN_NONE;
}

// The line as it is kept: its start, without white space at the end.
static PyObject *line_text(const struct nw_line *line)
{
	Py_ssize_t length = line->length < MAX_LINE ? line->length : MAX_LINE;

	while (length) {
		char last = line->text[length - 1];

		if (last != ' ' && !(last >= '\t' && last <= '\r') && !(last >= 0x1C && last <= 0x1F))
			break;
		length--;
	}
	return nw_ascii(line->text, length);
}

int nw_report(struct nw_maker *maker, const struct nw_value *host, const struct nw_value *user,
	      const struct nw_value *cidr, const struct nw_line *line)
{
	PyObject *address = host ? parse_address(host) : NULL, *event = NULL;
	PyObject *time = NULL, *name = NULL, *bits = NULL, *text = NULL;
	double when_s;
	int failed = -1;

	if (!address) {
		if (PyErr_Occurred())
			return -1;
		maker->counts[NW_UNUSABLE]++;
		return 0;
	}
	if (!find_when(maker, line, &when_s)) {
		Py_DECREF(address);
		return 0;
	}
	maker->counts[NW_FAILURES]++;
	if (PyUnicode_GET_LENGTH(maker->reason))
		maker->counts[NW_UNPROVEN]++;
	time = PyFloat_FromDouble(when_s);
	name = user_text(user);
	bits = prefix_length(cidr, PyBytes_GET_SIZE(address));
	text = line_text(line);
	if (time && name && bits && text) {
		PyObject *arguments[] = {time, maker->detector, address, maker->strength, maker->log, name,
					 bits, maker->reason,	text};

		event = PyObject_Vectorcall(maker->type, arguments, 9, NULL);
	}
	if (event)
		failed = PyList_Append(maker->events, event);
	Py_XDECREF(event);
	Py_XDECREF(text);
	Py_XDECREF(bits);
	Py_XDECREF(name);
	Py_XDECREF(time);
	Py_DECREF(address);
	return failed;
}

void nw_maker_clear(struct nw_maker *maker)
{
	Py_CLEAR(maker->type);
	Py_CLEAR(maker->detector);
	Py_CLEAR(maker->strength);
	Py_CLEAR(maker->log);
	Py_CLEAR(maker->reason);
	Py_CLEAR(maker->events);
}
