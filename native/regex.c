#include "native.h"

int nw_add_regex(PyObject *module)
{
	return 0;
}
