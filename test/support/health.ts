import {
  credentials,
  makeGenericClientConstructor,
  status,
  type Client,
  type ServiceError,
} from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { Signal } from './signal';

interface HealthAnswer {
  readonly status: string;
}

/** A client of the standard health service. */
export class HealthClient {
  private readonly client: Client;
  private readonly telling = new Signal();

  constructor(port: number) {
    const Constructor = makeGenericClientConstructor(healthService, 'Health');
    this.client = new Constructor(`127.0.0.1:${port}`, credentials.createInsecure());
  }

  /** The status of a service, or the code of the failure. */
  check(service: string): Promise<string> {
    const { path, requestSerialize, responseDeserialize } = methodOf('Check');
    return new Promise((resolve) => {
      this.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize as (bytes: Buffer) => HealthAnswer,
        { service },
        (error, answer) => {
          resolve(error ? status[error.code] : (answer?.status ?? ''));
        },
      );
    });
  }

  /** Waits until a condition holds, looking at it whenever a status is told to whoever watches. */
  told(condition: () => boolean): Promise<void> {
    return this.telling.until(condition);
  }

  /** Watches a service. The list grows with every status that is told, and with the code that the stream ends with. */
  watch(service: string): string[] {
    const seen: string[] = [];
    const { path, requestSerialize, responseDeserialize } = methodOf('Watch');
    this.client
      .makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize as (bytes: Buffer) => HealthAnswer,
        { service },
      )
      .on('data', (answer: HealthAnswer) => {
        seen.push(answer.status);
        this.telling.fire();
      })
      .on('error', ({ code }: ServiceError) => {
        seen.push(status[code]);
        this.telling.fire();
      });
    return seen;
  }

  close(): void {
    this.client.close();
  }
}

function methodOf(name: 'Check' | 'Watch'): ServiceDefinition[string] {
  const method = healthService[name];
  if (!method) throw new Error(`the health service has no ${name}`);
  return method;
}
