/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Replaces the kernel's headers, which bcc includes before every program and which nodes rarely have.
 * Set BCC_KERNEL_SOURCE to this directory's parent; UAPI headers come from the distribution's linux-libc-dev.
 * Programs get offsets of kernel structures as -D flags, read from the running kernel's BTF.
 */
#ifndef NODEWARDEN_KCONFIG_H
#define NODEWARDEN_KCONFIG_H

#define CONFIG_BPF_SYSCALL 1

#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
typedef __SIZE_TYPE__ size_t;
typedef __UINTPTR_TYPE__ uintptr_t;

#endif
