import type { Relations } from './demo-session';

const screened = {
  full_name: 'Zoé Amélie Lefèvre-Okubo',
  date_of_birth: '1991-02-14',
  nationality: 'CAN',
};

/**
 * Anti-money-laundering screenings: one when she applied, one by name variants. All the hits are
 * other people, who do not exist either.
 */
export const userScreenings: Relations = {
  aml_screenings: [
    {
      node_id: 'aml_1',
      status: 'Approved',
      entity_type: 'person',
      total_hits: 3,
      score: 46.5,
      is_ongoing_monitoring_enabled: true,
      screened_data: screened,
      warnings: [{ risk: 'POSSIBLE_MATCH_FOUND', log_type: 'warning' }],
    },
    {
      node_id: 'aml_2',
      status: 'Approved',
      entity_type: 'person',
      total_hits: 2,
      score: 31,
      is_ongoing_monitoring_enabled: false,
      screened_data: { ...screened, aliases: ['Zoe Okubo', 'ゾエ・オクボ'] },
      warnings: [],
    },
  ],
  aml_hits: [
    {
      screening_ordinal: 0,
      status: 'Approved',
      hit_id: 'example-pep-77101',
      caption: 'Zoé Lefebvre',
      match_score: 46.5,
      review_status: 'False Positive',
      categories: ['pep'],
      hit: {
        names: ['Zoé Lefebvre'],
        birth_year: 1958,
        countries: ['FR'],
        positions: [{ title: 'Maire', place: 'Sainte-Fiction', from: 2001, to: 2008 }],
        source: 'https://pep.example.org/77101',
      },
    },
    {
      screening_ordinal: 0,
      status: 'Approved',
      hit_id: 'example-media-2093',
      caption: 'Zoe Lefevre',
      match_score: 41.25,
      review_status: 'False Positive',
      categories: ['adverse_media', 'fraud'],
      hit: {
        names: ['Zoe Lefevre'],
        birth_year: 1979,
        countries: ['BE'],
        headlines: [
          { title: 'Faussaire arrêtée à Fictionville', published: '2017-11-05', language: 'fr' },
        ],
        source: 'https://news.example.com/2017/11/faussaire',
      },
    },
    {
      screening_ordinal: 0,
      status: 'Approved',
      hit_id: 'example-sanctions-00418',
      caption: 'Z. Lefèvre',
      match_score: 33.8,
      review_status: 'False Positive',
      categories: ['sanctions'],
      hit: {
        names: ['Z. Lefèvre', 'Zénon Lefèvre'],
        gender: 'M',
        birth_year: 1931,
        death_year: 2009,
        list: 'Example Consolidated List',
        source: 'https://sanctions.example.org/entries/00418',
      },
    },
    {
      screening_ordinal: 1,
      status: 'Approved',
      hit_id: 'example-pep-80655',
      caption: '大久保 ゾエ',
      match_score: 31,
      review_status: 'False Positive',
      categories: ['pep', 'relative_or_associate'],
      hit: {
        names: ['大久保 ゾエ', 'Ōkubo Zoe'],
        birth_year: 1966,
        countries: ['JP'],
        source: 'https://pep.example.org/80655',
      },
    },
    {
      screening_ordinal: 1,
      status: 'Approved',
      hit_id: 'example-media-5512',
      caption: 'Zoe Okubo',
      match_score: 27.4,
      review_status: 'False Positive',
      categories: ['adverse_media'],
      hit: {
        names: ['Zoe Okubo'],
        birth_year: 2001,
        countries: ['US'],
        headlines: [
          { title: 'Student cleared in library affair', published: '2022-04-01', language: 'en' },
        ],
        source: 'https://news.example.com/2022/04/library',
      },
    },
  ],
};
