#include "native.h"

int nw_add_confirm(PyObject *module)
{
	return 0;
}
