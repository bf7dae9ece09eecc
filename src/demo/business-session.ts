import type { SessionId } from '../model/ids';
import { businessCompany } from './business-company';
import { businessLogs } from './business-logs';
import { businessScreenings } from './business-screenings';
import { clockOf, type DemoSession, type Relations } from './demo-session';

const firstDay = clockOf('2026-03-19');
const secondDay = clockOf('2026-03-20');

/**
 * A finished KYB session: Boréal Lantern Logistics, a forwarder whose ownership goes through three
 * countries, opens an account.
 *
 * The company does not exist, nor do its owners: numbers and addresses are of the kinds set aside
 * for examples.
 *
 * @param keyPersonSessionId The KYC session of one of its key people, in the same application.
 */
export function businessSession(keyPersonSessionId: SessionId): DemoSession {
  return {
    kind: 'business',
    vendorData: 'company-boréal-lantern-0077',
    workflowVersion: 1,
    startedAt: firstDay('13:05:10'),
    finishedAt: secondDay('15:47:26'),
    columns: {
      status: 'Approved',
      features: [
        'REGISTRY_CHECK',
        'KEY_PEOPLE',
        'DOCUMENTS',
        'AML',
        'PHONE',
        'EMAIL',
        'IP_ANALYSIS',
        'QUESTIONNAIRE',
      ],
      metadata: { branch: 'Montréal', relationship_manager: 'rm-31', segment: 'mid-market' },
      expected_details: {
        company_name: 'Boréal Lantern Logistics inc.',
        registration_number: '0000000077',
        country_code: 'CA',
      },
      contact_details: { email: 'finance@example.org', phone: '+15145550177' },
      callback: 'https://northwind.example.com/kyb/finished',
      language: 'en-CA',
    },
    relations: {
      ...businessCompany(keyPersonSessionId),
      ...businessScreenings,
      ...contactsAndDevices,
      ...answersAndReviews,
      logs: businessLogs,
    },
  };
}

const contactsAndDevices: Relations = {
  phone_verifications: [
    {
      node_id: 'phone_1',
      status: 'Approved',
      phone_number: '+15145550177',
      country_code: '+1',
      carrier: 'Exemple Télécom',
      is_disposable: false,
      is_virtual: true,
      verification_method: 'call',
      verification_attempts: 1,
      verified_at: firstDay('13:31:02'),
      lifecycle: [
        { type: 'CODE_SENT', at: '2026-03-19T13:30:15Z' },
        { type: 'CODE_ACCEPTED', at: '2026-03-19T13:31:02Z' },
      ],
      matches: [],
      warnings: [{ risk: 'VIRTUAL_NUMBER', log_type: 'information' }],
    },
  ],
  email_verifications: [
    {
      node_id: 'email_1',
      status: 'Approved',
      email: 'finance@example.org',
      is_breached: false,
      is_disposable: false,
      is_undeliverable: false,
      verification_attempts: 1,
      verified_at: firstDay('13:32:40'),
      breaches: [],
      lifecycle: [
        { type: 'CODE_SENT', at: '2026-03-19T13:31:44Z' },
        { type: 'CODE_ACCEPTED', at: '2026-03-19T13:32:40Z' },
      ],
      matches: [],
      warnings: [],
    },
  ],
  locations: [
    {
      node_id: 'ip_analysis_1',
      status: 'Approved',
      ip_address: '203.0.113.77',
      ip_country: 'CA',
      ip_state: 'Québec',
      ip_city: 'Montréal',
      isp: 'Exemple Télécom',
      organization: 'Boréal Lantern Logistics inc.',
      latitude: 45.508888,
      longitude: -73.561668,
      is_vpn_or_tor: false,
      is_data_center: false,
      device_brand: 'Example',
      device_model: 'Desktop 5',
      browser: 'Edge',
      os: 'Windows',
      platform: 'desktop',
      device_fingerprint: 'e51d0c77a2b94f8d96c3340f1be8a7d2',
      time_zone: 'America/Toronto',
      distances: { legal_address_km: 0.9 },
      matches: [],
      warnings: [],
    },
  ],
};

const answersAndReviews: Relations = {
  questionnaire_responses: [
    {
      node_id: 'questionnaire_1',
      status: 'Approved',
      questionnaire_id: Buffer.from('01958a02d4407e9a8d55b0c9117f0077', 'hex'),
      title: 'About your company',
      version: 5,
      languages: ['en', 'fr'],
      sections: [
        {
          title: 'Business',
          questions: [
            { id: 'employees', label: 'How many people work for you?', answer: 42 },
            { id: 'markets', label: 'Where are your customers?', answer: ['CA', 'NO', 'VN'] },
            { id: 'handles_cash', label: 'Do you handle cash?', answer: false },
          ],
        },
        {
          title: 'Account',
          questions: [
            { id: 'purpose', label: 'What is the account for?', answer: 'Freight and customs' },
            { id: 'monthly_volume', label: 'Expected monthly volume', answer: '$250k–$500k' },
          ],
        },
      ],
    },
  ],
  reviews: [
    {
      created_at: firstDay('14:20:09'),
      status: 'In Review',
      actor: 'workflow',
      previous_status: 'In Progress',
      new_status: 'In Review',
      comment: 'A beneficial owner has no KYC session, and AML screening has hits.',
    },
    {
      created_at: firstDay('16:02:33'),
      status: 'Awaiting User',
      actor: 'ingrid.solheim@example.com',
      previous_status: 'In Review',
      new_status: 'Awaiting User',
      comment: 'Please send the notarised declaration of Mr Żółkiewski’s identity.',
    },
    {
      created_at: secondDay('15:47:26'),
      status: 'Approved',
      actor: 'ingrid.solheim@example.com',
      previous_status: 'Awaiting User',
      new_status: 'Approved',
      comment: 'Declaration received and in order; the ownership adds up to 100 %. Hits cleared.',
    },
  ],
};
