/**
 * A hint for one INSERT: MySQL does not check the foreign keys of its rows (MySQL 8.4 manual, section 10.9.3,
 * "Variable-Setting Hint Syntax"). It needs no privilege. MariaDB 10.11 and 11 read it as a comment.
 *
 * Only for rows that refer to nothing but their session, if this transaction has inserted the session: then the
 * check can't fail, and it costs a look-up for each row.
 */
export const uncheckedKeys = '/*+ SET_VAR(foreign_key_checks = OFF) */';
