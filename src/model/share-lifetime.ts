/** The shortest time for which `ShareSession` makes a share token valid, in seconds. */
export const minLifetime = 60;

/** The longest time for which any share token may be valid, in seconds. */
export const maxLifetime = 24 * 60 * 60;
