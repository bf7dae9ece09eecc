/**
 * SQL for whether a moment is on a day of the calendar. The platform can have written a zero date or the 31st of
 * February, if its SQL mode allows that. This service can neither store nor send those.
 */
export function isOnCalendar(column: string): string {
  return `${column} + INTERVAL 0 DAY = ${column}`;
}
