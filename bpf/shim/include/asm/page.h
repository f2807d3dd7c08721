/* SPDX-License-Identifier: GPL-2.0 */
/* bcc includes this and uses nothing of it. */
