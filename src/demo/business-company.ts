import { toBinary, type SessionId } from '../model/ids';
import type { Relations, Row } from './demo-session';

const files = 'demo/northwind/boreal-lantern';

/** What registers and documents say of the company and of the people behind it. */
export function businessCompany(keyPersonSessionId: SessionId): Relations {
  return {
    registry_checks: [registryCheck],
    key_people_checks: [keyPeopleCheck],
    key_people: keyPeople(keyPersonSessionId),
    documents,
  };
}

const registryCheck: Row = {
  node_id: 'registry_check_1',
  status: 'Approved',
  company_name: 'Boréal Lantern Logistics inc.',
  registration_number: '0000000077',
  country_code: 'CA',
  region: 'Québec',
  company_type: 'Société par actions',
  registry_status: 'Immatriculée',
  incorporation_date: '2014-06-02',
  legal_address: '77, quai de l’Exemple, Montréal (Québec) H0H 0H0',
  tax_number: '000000077 RC 0001',
  vat_number: '000000077 RT 0001',
  // Of an issuer that does not exist, with check digits that are right (ISO 7064, MOD 97-10).
  lei: '9999DEMO0BOREAL0LA07',
  website: 'https://boreal-lantern.example.org',
  nature_of_business: 'Freight forwarding and customs brokerage for small sea-going cargo.',
  registered_capital: '1 000 000 CAD',
  alternative_names: ['Boreal Lantern', 'Công ty Vận tải Đèn Phương Bắc'],
  ownership_structure: {
    shareholders: [
      { name: 'Aurora Holdings S.à r.l.', share: 60 },
      { name: 'Zoé Lefèvre-Okubo', share: 25 },
      { name: 'Søren Bjørnstad', share: 15 },
    ],
  },
  registry_data: {
    register: 'Registre d’entreprises exemple',
    retrieved_at: '2026-03-19T13:06:03Z',
    activities: [{ code: '4885', label: 'Freight transportation arrangement' }],
  },
  warnings: [],
};

const keyPeopleCheck: Row = {
  node_id: 'key_people_1',
  status: 'Approved',
  registry_officers: [
    { name: 'Zoé Lefèvre-Okubo', role: 'président' },
    { name: 'Søren Bjørnstad', role: 'trésorier' },
  ],
  beneficial_owners: [
    { name: 'Łukasz Żółkiewski', effective_share: 42 },
    { name: 'Zoé Lefèvre-Okubo', effective_share: 25 },
  ],
  ubo_kyc_summary: { threshold: 25, required: 2, by_session: 1, by_document: 1 },
  warnings: [{ risk: 'COMPLEX_OWNERSHIP', log_type: 'warning', levels: 4 }],
};

/**
 * The tree of owners, in the order of their ordinals. Percentages are those of the owner's share in
 * what stands above it:
 *
 *     0 Aurora Holdings S.à r.l.             60 %
 *       3 Polarlicht Beteiligungs GmbH       70 %
 *         5 Nordstern-Stiftung              100 %
 *           6 Łukasz Żółkiewski             100 %, 42 % of the company
 *       4 Nguyễn Thị Ánh                     30 %, 18 % of the company
 *     1 Zoé Lefèvre-Okubo                    25 %
 *     2 Søren Bjørnstad                      15 %
 */
function keyPeople(keyPersonSessionId: SessionId): readonly Row[] {
  return [
    {
      check_ordinal: 0,
      status: 'Approved',
      party_kind: 'company',
      roles: ['shareholder'],
      full_name: 'Aurora Holdings S.à r.l.',
      country: 'LUX',
      ownership_percentage: 60,
      voting_percentage: 60,
      is_skipped: false,
    },
    {
      check_ordinal: 0,
      status: 'Approved',
      party_kind: 'person',
      roles: ['shareholder', 'director', 'ubo'],
      full_name: 'Zoé Amélie Lefèvre-Okubo',
      date_of_birth: '1991-02-14',
      nationality: 'CAN',
      country: 'CAN',
      ownership_percentage: 25,
      voting_percentage: 25,
      is_skipped: false,
      kyc_session_id: toBinary(keyPersonSessionId),
    },
    {
      check_ordinal: 0,
      status: 'Approved',
      party_kind: 'person',
      roles: ['shareholder', 'officer'],
      full_name: 'Søren Bjørnstad',
      date_of_birth: '1974-11-30',
      nationality: 'NOR',
      country: 'CAN',
      ownership_percentage: 15,
      voting_percentage: 15,
      // Below the threshold for beneficial owners.
      is_skipped: true,
    },
    {
      check_ordinal: 0,
      parent_ordinal: 0,
      status: 'Approved',
      party_kind: 'company',
      roles: ['shareholder'],
      full_name: 'Polarlicht Beteiligungs GmbH',
      country: 'DEU',
      ownership_percentage: 70,
      voting_percentage: 100,
      is_skipped: false,
    },
    {
      check_ordinal: 0,
      parent_ordinal: 0,
      status: 'Approved',
      party_kind: 'person',
      roles: ['shareholder'],
      full_name: 'Nguyễn Thị Ánh',
      date_of_birth: '1983-05-09',
      nationality: 'VNM',
      country: 'LUX',
      ownership_percentage: 30,
      voting_percentage: 0,
      is_skipped: true,
    },
    {
      check_ordinal: 0,
      parent_ordinal: 3,
      status: 'Approved',
      party_kind: 'company',
      roles: ['shareholder'],
      full_name: 'Nordstern-Stiftung',
      country: 'LIE',
      ownership_percentage: 100,
      voting_percentage: 100,
      is_skipped: false,
    },
    {
      check_ordinal: 0,
      parent_ordinal: 5,
      status: 'Approved',
      party_kind: 'person',
      roles: ['beneficiary', 'ubo'],
      full_name: 'Łukasz Żółkiewski',
      date_of_birth: '1969-08-21',
      nationality: 'POL',
      country: 'LIE',
      ownership_percentage: 100,
      voting_percentage: 100,
      // He was identified by a notary: there is a document, and no session.
      is_skipped: false,
    },
  ];
}

const documents: readonly Row[] = [
  {
    node_id: 'documents_1',
    status: 'Approved',
    document_group: 'legal_presence',
    document_type: 'certificate_of_incorporation',
    title: 'Certificat de constitution',
    file: `${files}/certificat-de-constitution.pdf`,
    extracted_data: { company_name: 'Boréal Lantern Logistics inc.', number: '0000000077' },
    issue_date: '2014-06-02',
    warnings: [],
  },
  {
    node_id: 'documents_1',
    status: 'Approved',
    document_group: 'ownership',
    document_type: 'shareholder_register',
    title: 'Registre des actionnaires',
    file: `${files}/registre-des-actionnaires.pdf`,
    extracted_data: { shareholders: 3, shares: 1_000 },
    issue_date: '2026-01-15',
    warnings: [],
  },
  {
    node_id: 'documents_1',
    status: 'Approved',
    document_group: 'ownership',
    document_type: 'notarised_declaration',
    title: 'Oświadczenie o tożsamości – Łukasz Żółkiewski',
    file: `${files}/oświadczenie-żółkiewski.pdf`,
    extracted_data: { notary: 'Kancelaria Przykładowa', person: 'Łukasz Żółkiewski' },
    issue_date: '2026-03-20',
    expiration_date: '2027-03-20',
    warnings: [{ risk: 'SECOND_REQUEST', log_type: 'information' }],
  },
  {
    node_id: 'documents_2',
    status: 'Approved',
    document_group: 'proof_of_address',
    document_type: 'lease',
    title: 'Bail commercial, 77, quai de l’Exemple',
    file: `${files}/bail.pdf`,
    extracted_data: { landlord: 'Quais Exemple S.E.C.', rooms: ['bureau', 'entrepôt'] },
    issue_date: '2024-07-01',
    expiration_date: '2029-06-30',
    warnings: [],
  },
];
