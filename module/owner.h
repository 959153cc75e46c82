/* SPDX-License-Identifier: GPL-2.0-only */
/* The mm of the process that made a mapping: how to look at it, how to use it. */
#ifndef TETHER_OWNER_H
#define TETHER_OWNER_H

#include <linux/types.h>

struct container;
struct mm_struct;
struct owner_put;

bool owner_is_ending(const struct mm_struct *mm);

int owner_look_begin(struct mm_struct *mm, bool patient);
void owner_look_end(struct mm_struct *mm);
void owner_await_look(struct mm_struct *mm);

int owner_use(struct container *c, struct mm_struct *mm);
void owner_let_go(struct container *c, struct mm_struct *mm);

struct owner_put *owner_put_alloc(void);
void owner_put_free(struct owner_put *put);
int owner_init(void);
void owner_exit(void);

#endif
