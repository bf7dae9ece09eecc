import type { SessionId } from '../model/ids';
import { clockOf, type DemoSession, type Relations } from './demo-session';
import { userDocuments } from './user-documents';
import { userLogs } from './user-logs';
import { userScreenings } from './user-screenings';

const at = clockOf('2026-03-12');

/**
 * A finished KYC session: Zoé Lefèvre-Okubo opens an account, holds up two documents, and is
 * approved by an analyst who has cleared her of some namesakes.
 *
 * She does not exist: her documents, numbers and addresses are of the kinds set aside for examples.
 *
 * @param sessionId The session's own id, which some of its rows refer to.
 */
export function userSession(sessionId: SessionId): DemoSession {
  return {
    kind: 'user',
    vendorData: 'customer-zoé-000142',
    workflowVersion: 1,
    startedAt: at('09:14:02'),
    finishedAt: at('11:02:41'),
    columns: {
      status: 'Approved',
      features: [
        'ID_VERIFICATION',
        'NFC',
        'LIVENESS',
        'FACE_MATCH',
        'AML',
        'IP_ANALYSIS',
        'PROOF_OF_ADDRESS',
        'PHONE',
        'EMAIL',
        'DATABASE_VALIDATION',
        'QUESTIONNAIRE',
      ],
      metadata: { branch: 'Montréal', campaign: 'spring-2026', account_type: 'chequing' },
      expected_details: {
        first_name: 'Zoé Amélie',
        last_name: 'Lefèvre-Okubo',
        date_of_birth: '1991-02-14',
        nationality: 'CAN',
      },
      contact_details: {
        email: 'zoe.lefevre-okubo@example.com',
        phone: '+15145550142',
        send_notification_emails: true,
        email_lang: 'fr',
      },
      callback: 'https://northwind.example.com/kyc/finished',
      language: 'fr-CA',
    },
    relations: {
      ...userDocuments(sessionId),
      ...userScreenings,
      ...contactsAndDevices,
      ...answersAndReviews,
      logs: userLogs,
    },
  };
}

const contactsAndDevices: Relations = {
  locations: [
    {
      node_id: 'ip_analysis_1',
      status: 'Approved',
      ip_address: '192.0.2.44',
      ip_country: 'CA',
      ip_state: 'Québec',
      ip_city: 'Montréal',
      isp: 'Exemple Télécom',
      organization: 'Exemple Télécom résidentiel',
      latitude: 45.501889,
      longitude: -73.567391,
      is_vpn_or_tor: false,
      is_data_center: false,
      device_brand: 'Example',
      device_model: 'Notebook 14',
      browser: 'Firefox',
      os: 'Linux',
      platform: 'desktop',
      device_fingerprint: 'b7c1f0a94e5d4d1f8a3b6f2e90c7d845',
      time_zone: 'America/Toronto',
      distances: { id_document_km: 3.4, proof_of_address_km: 3.4 },
      matches: [],
      warnings: [],
    },
    // She began at her desk and went on by phone, whose camera and NFC reader were needed.
    {
      node_id: 'ip_analysis_1',
      status: 'Approved',
      ip_address: '198.51.100.23',
      ip_country: 'CA',
      ip_state: 'Québec',
      ip_city: 'Laval',
      isp: 'Exemple Mobile',
      organization: 'Exemple Mobile',
      latitude: 45.606649,
      longitude: -73.712409,
      is_vpn_or_tor: false,
      is_data_center: false,
      device_brand: 'Example',
      device_model: 'Phone 9',
      browser: 'Chrome Mobile',
      os: 'Android',
      platform: 'mobile',
      device_fingerprint: '02f4c6d8a1e34b5790b8de1c5a7f3e66',
      time_zone: 'America/Toronto',
      distances: { id_document_km: 17.9, proof_of_address_km: 17.9 },
      matches: [],
      warnings: [{ risk: 'IP_CHANGED_DURING_SESSION', log_type: 'information' }],
    },
  ],
  phone_verifications: [
    {
      node_id: 'phone_1',
      status: 'Approved',
      phone_number: '+15145550142',
      country_code: '+1',
      carrier: 'Exemple Mobile',
      is_disposable: false,
      is_virtual: false,
      verification_method: 'sms',
      verification_attempts: 2,
      verified_at: at('09:21:17'),
      lifecycle: [
        { type: 'CODE_SENT', at: '2026-03-12T09:20:12Z' },
        { type: 'CODE_REFUSED', at: '2026-03-12T09:20:58Z' },
        { type: 'CODE_ACCEPTED', at: '2026-03-12T09:21:17Z' },
      ],
      matches: [],
      warnings: [],
    },
  ],
  email_verifications: [
    {
      node_id: 'email_1',
      status: 'Approved',
      email: 'zoe.lefevre-okubo@example.com',
      is_breached: true,
      is_disposable: false,
      is_undeliverable: false,
      verification_attempts: 1,
      verified_at: at('09:22:30'),
      breaches: [
        { name: 'Example Forum', domain: 'forum.example.org', date: '2021-08-30', records: 18_204 },
      ],
      lifecycle: [
        { type: 'CODE_SENT', at: '2026-03-12T09:21:49Z' },
        { type: 'CODE_ACCEPTED', at: '2026-03-12T09:22:30Z' },
      ],
      matches: [],
      warnings: [{ risk: 'BREACHED_EMAIL', log_type: 'information' }],
    },
  ],
};

const answersAndReviews: Relations = {
  questionnaire_responses: [
    {
      node_id: 'questionnaire_1',
      status: 'Approved',
      questionnaire_id: Buffer.from('0195898e7c117d3cb3a1c5a2f4e60142', 'hex'),
      title: 'À propos de votre compte',
      version: 3,
      languages: ['fr', 'en'],
      sections: [
        {
          title: 'Origine des fonds',
          questions: [
            { id: 'occupation', label: 'Votre profession', answer: 'Ingénieure acousticienne' },
            { id: 'source_of_funds', label: 'D’où vient votre argent ?', answer: ['salary'] },
            { id: 'monthly_volume', label: 'Volume mensuel prévu', answer: '2 500–5 000 $' },
          ],
        },
        {
          title: 'Statut',
          questions: [{ id: 'is_pep', label: 'Fonction publique importante ?', answer: false }],
        },
      ],
    },
  ],
  reviews: [
    {
      created_at: at('09:31:40'),
      status: 'In Review',
      actor: 'workflow',
      previous_status: 'In Progress',
      new_status: 'In Review',
      comment: 'AML screening has hits that nobody has judged yet.',
    },
    {
      created_at: at('11:02:41'),
      status: 'Approved',
      actor: 'ingrid.solheim@example.com',
      previous_status: 'In Review',
      new_status: 'Approved',
      comment:
        'All hits are namesakes: wrong birth years, and one of them has died. Passport chip ✓',
    },
  ],
};
