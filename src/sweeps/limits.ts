/**
 * How many copies a step of a sweep looks at or enters before it ends. All copies of one session are in one
 * transaction, so a step can go beyond this by those of its last session.
 */
export const copiesOfStep = 5_000;
