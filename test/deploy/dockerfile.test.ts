import { expect } from 'chai';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { imageEnvironment, imagePort, runtimeSteps, textOf } from './files';

describe('the Dockerfile', () => {
  it('has nothing that a linter finds', () => {
    const findings = validate(textOf('Dockerfile'));
    expect(findings.map(({ range, message }) => [range.start.line + 1, message])).to.deep.equal([]);
  });

  it('names its base images by their exact version', () => {
    for (const from of DockerfileParser.parse(textOf('Dockerfile')).getFROMs()) {
      expect(from.getImageTag(), from.toString()).to.match(/^\d+\.\d+/);
    }
  });

  it('runs no command in its last stage, and the program as a user who is only a number', () => {
    const steps = runtimeSteps();
    expect(steps.map((step) => step.getKeyword())).not.to.include.members(['RUN']);
    const users = steps.filter((step) => step.getKeyword() === 'USER');
    expect(users.map((user) => user.getArgumentsContent()).join()).to.match(/^[1-9]\d+:[1-9]\d+$/);
  });

  it('exposes the ports that the program listens on, on all addresses', () => {
    const exposed = runtimeSteps().find((step) => step.getKeyword() === 'EXPOSE');
    expect(exposed?.getArguments().map((port) => Number(port.getValue()))).to.deep.equal([
      imagePort('GRPC_ADDRESS'),
      imagePort('METRICS_ADDRESS'),
    ]);
    expect(imageEnvironment()).to.include({
      NODE_ENV: 'production',
      GRPC_ADDRESS: '0.0.0.0:50051',
    });
  });
});
