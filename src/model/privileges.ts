/** What an API key may allow. */
export const privileges = [
  'write:sessions',
  'write:session-shares',
  'read:session-shares',
  'read:sessions',
  'read:session-imports',
  'write:session-connections',
  'read:session-connections',
  'erase:sessions',
  'read:session-events',
] as const;

export type Privilege = (typeof privileges)[number];
