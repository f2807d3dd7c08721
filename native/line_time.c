#include "line_time.h"

#include <math.h>

int nw_known_time(struct nw_times *times, PyObject *data, Py_ssize_t start, double *time_s)
{
	const char *text = PyBytes_AS_STRING(data), *at;
	PyObject *number;

	if (!PyTuple_GET_SIZE(times->of_lines))
		return 0;
	while (times->seen < start && (at = memchr(text + times->seen, '\n', (size_t)(start - times->seen)))) {
		times->line_number++;
		times->seen = at - text + 1;
	}
	times->seen = start;
	if (times->line_number >= PyTuple_GET_SIZE(times->of_lines)) {
		PyErr_SetString(PyExc_IndexError, "the block has more lines than times");
		return -1;
	}
	number = PyTuple_GET_ITEM(times->of_lines, times->line_number);
	*time_s = PyFloat_AsDouble(number);
	if (*time_s == -1.0 && PyErr_Occurred())
		return -1;
	return !(times->is_wrapped && isnan(*time_s));
}

int nw_dated_time(struct nw_times *times, const nw_form *form, const char *line, const int32_t *spans, PyObject *known)
{
	char text[NW_MAX_DATE];
	int32_t length = nw_form_date(form, line, spans, text, NW_MAX_DATE);
	PyObject *key, *dated, *time;

	if (length < 0)
		return 0;
	if (length == times->date_length && !memcmp(text, times->date, (size_t)length))
		return 1;
	key = nw_ascii(text, length);
	if (!key)
		return -1;
	dated = PyDict_GetItemWithError(known, key);
	Py_DECREF(key);
	if (!dated)
		return PyErr_Occurred() ? -1 : 0;
	if (!PyTuple_Check(dated) || PyTuple_GET_SIZE(dated) != 4) {
		PyErr_SetString(PyExc_TypeError, "a date that was read is a tuple of four");
		return -1;
	}
	time = PyTuple_GET_ITEM(dated, 2);
	if (time == Py_None)
		return 0;
	times->date_s = PyFloat_AsDouble(time);
	if (times->date_s == -1.0 && PyErr_Occurred())
		return -1;
	times->is_zoned = PyObject_IsTrue(PyTuple_GET_ITEM(dated, 3)) == 1;
	memcpy(times->date, text, (size_t)length);
	times->date_length = length;
	return 1;
}
