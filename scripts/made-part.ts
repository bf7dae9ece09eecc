/**
 * Puts something that is made into its place in a page: between `<!-- name -->` and `<!-- /name -->`.
 *
 * @throws Error if the page has no such place.
 */
export function withPart(page: string, name: string, made: string): string {
  const place = new RegExp(`(<!-- ${name} -->\\n)[^]*?(<!-- /${name} -->)`);
  if (!place.test(page)) throw new Error(`there is no place for ${name}`);
  return page.replace(place, (_, begin: string, end: string) => `${begin}\n${made}\n\n${end}`);
}
