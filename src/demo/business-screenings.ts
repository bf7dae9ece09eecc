import type { Relations } from './demo-session';

/**
 * Anti-money-laundering screenings of the company, of its beneficial owner, and of an officer whom
 * no list knows. All the hits are others, who do not exist either.
 */
export const businessScreenings: Relations = {
  aml_screenings: [
    {
      node_id: 'aml_company_1',
      status: 'Approved',
      entity_type: 'company',
      total_hits: 2,
      score: 38.9,
      is_ongoing_monitoring_enabled: true,
      screened_data: { company_name: 'Boréal Lantern Logistics inc.', country: 'CA' },
      warnings: [{ risk: 'POSSIBLE_MATCH_FOUND', log_type: 'warning' }],
    },
    {
      node_id: 'aml_key_people_1',
      status: 'Approved',
      entity_type: 'person',
      total_hits: 3,
      score: 57.25,
      is_ongoing_monitoring_enabled: true,
      screened_data: { full_name: 'Łukasz Żółkiewski', date_of_birth: '1969-08-21' },
      warnings: [{ risk: 'POSSIBLE_MATCH_FOUND', log_type: 'warning' }],
    },
    {
      node_id: 'aml_key_people_1',
      status: 'Approved',
      entity_type: 'person',
      total_hits: 0,
      score: 0,
      is_ongoing_monitoring_enabled: true,
      screened_data: { full_name: 'Søren Bjørnstad', date_of_birth: '1974-11-30' },
      warnings: [],
    },
  ],
  aml_hits: [
    {
      screening_ordinal: 0,
      status: 'Approved',
      hit_id: 'example-sanctions-10233',
      caption: 'Boreal Lanterns FZE',
      match_score: 38.9,
      review_status: 'False Positive',
      categories: ['sanctions'],
      hit: {
        names: ['Boreal Lanterns FZE', 'بوريال لانترنز'],
        countries: ['AE'],
        incorporated: 2020,
        list: 'Example Consolidated List',
        source: 'https://sanctions.example.org/entries/10233',
      },
    },
    {
      screening_ordinal: 0,
      status: 'Approved',
      hit_id: 'example-media-6120',
      caption: 'Boréal Logistique',
      match_score: 29.6,
      review_status: 'False Positive',
      categories: ['adverse_media', 'customs'],
      hit: {
        names: ['Boréal Logistique SARL'],
        countries: ['FR'],
        headlines: [
          { title: 'Conteneurs mal déclarés à Port-Fiction', published: '2023-09-18' },
          { title: 'Port-Fiction : l’affaire classée', published: '2024-02-06' },
        ],
        source: 'https://news.example.com/2023/09/conteneurs',
      },
    },
    {
      screening_ordinal: 1,
      status: 'Approved',
      hit_id: 'example-pep-31877',
      caption: 'Łukasz Żółkiewski',
      match_score: 57.25,
      review_status: 'False Positive',
      categories: ['pep'],
      hit: {
        names: ['Łukasz Żółkiewski', 'Lukasz Zolkiewski'],
        birth_year: 1990,
        countries: ['PL'],
        positions: [{ title: 'Radny', place: 'Przykładowo', from: 2018, to: 2024 }],
        source: 'https://pep.example.org/31877',
      },
    },
    {
      screening_ordinal: 1,
      status: 'Approved',
      hit_id: 'example-pep-31902',
      caption: 'Lukas Zolkiewsky',
      match_score: 44,
      review_status: 'False Positive',
      categories: ['pep', 'relative_or_associate'],
      hit: {
        names: ['Lukas Zolkiewsky', 'Лукаш Жолкевский'],
        birth_year: 1951,
        countries: ['UA'],
        source: 'https://pep.example.org/31902',
      },
    },
    {
      screening_ordinal: 1,
      status: 'Approved',
      hit_id: 'example-media-7004',
      caption: 'Ł. Żółkiewski',
      match_score: 35.1,
      review_status: 'False Positive',
      categories: ['adverse_media'],
      hit: {
        names: ['Ł. Żółkiewski'],
        countries: ['PL'],
        headlines: [{ title: 'Spór o latarnię morską', published: '2015-04-29' }],
        source: 'https://news.example.com/2015/04/latarnia',
      },
    },
  ],
};
