import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import com.sessionimport.v1.ImportSessionRequest;
import com.sessionimport.v1.ImportSessionResponse;
import com.sessionimport.v1.SessionImportGrpc;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Imports a session that another application has shared.
 *
 * <pre>java [-D…] ImportSession &lt;address&gt; &lt;share token&gt; &lt;workflow id&gt;</pre>
 *
 * The API key is in the environment, as {@code API_KEY}. System properties: {@code plaintext=true}
 * for no TLS, {@code cacert} for CAs other than the well-known ones, {@code cert} and {@code key}
 * for mutual TLS, {@code service-config}, {@code vendor-data}, {@code trust-review=true}.
 */
public final class ImportSession {
  private static final Metadata.Key<String> API_KEY =
      Metadata.Key.of("x-api-key", Metadata.ASCII_STRING_MARSHALLER);

  public static void main(String[] args) throws IOException {
    ImportSessionRequest.Builder request =
        ImportSessionRequest.newBuilder()
            .setShareToken(args[1])
            .setWorkflowId(args[2])
            .setTrustReview(Boolean.getBoolean("trust-review"));
    if (System.getProperty("vendor-data") != null) {
      request.setVendorData(System.getProperty("vendor-data"));
    }
    // One channel for the whole program: it connects, and connects anew, by itself.
    ManagedChannel channel = openChannel(args[0]);
    try {
      System.out.println(importSession(channel, request.build()));
    } catch (StatusRuntimeException failure) {
      describe(failure);
      System.exit(1);
    } finally {
      channel.shutdown();
    }
  }

  static ManagedChannel openChannel(String address) throws IOException {
    Path file = Path.of(System.getProperty("service-config", "proto/service-config.json"));
    Map<String, ?> serviceConfig =
        new Gson().fromJson(Files.readString(file), new TypeToken<Map<String, ?>>() {});
    return Grpc.newChannelBuilder(address, channelCredentials())
        .defaultServiceConfig(serviceConfig)
        .enableRetry()
        .build();
  }

  /** TLS with the well-known CAs, unless there are files that say otherwise. */
  static ChannelCredentials channelCredentials() throws IOException {
    if (Boolean.getBoolean("plaintext")) {
      return InsecureChannelCredentials.create();
    }
    TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
    if (System.getProperty("cacert") != null) {
      tls.trustManager(new File(System.getProperty("cacert")));
    }
    if (System.getProperty("cert") != null) {
      tls.keyManager(new File(System.getProperty("cert")), new File(System.getProperty("key")));
    }
    return tls.build();
  }

  static ImportSessionResponse importSession(ManagedChannel channel, ImportSessionRequest request) {
    Metadata metadata = new Metadata();
    metadata.put(API_KEY, System.getenv("API_KEY"));
    return SessionImportGrpc.newBlockingStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata))
        // For all tries together.
        .withDeadlineAfter(45, TimeUnit.SECONDS)
        .importSession(request);
  }

  /** Prints what is known of a failed call: its code, and what the service says about it. */
  static void describe(StatusRuntimeException failure) throws InvalidProtocolBufferException {
    com.google.rpc.Status status = StatusProto.fromThrowable(failure);
    System.out.println(failure.getStatus().getCode() + ": " + status.getMessage());
    for (Any detail : status.getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        ErrorInfo info = detail.unpack(ErrorInfo.class);
        System.out.println("reason: " + info.getReason());
        System.out.println("metadata: " + info.getMetadataMap());
      } else if (detail.is(BadRequest.class)) {
        for (var violation : detail.unpack(BadRequest.class).getFieldViolationsList()) {
          System.out.println(violation.getField() + " " + violation.getDescription());
        }
      } else if (detail.is(ResourceInfo.class)) {
        ResourceInfo resource = detail.unpack(ResourceInfo.class);
        System.out.println("no " + resource.getResourceType() + " " + resource.getResourceName());
      } else if (detail.is(RetryInfo.class)) {
        var delay = detail.unpack(RetryInfo.class).getRetryDelay();
        System.out.println("retry after: " + Duration.ofSeconds(delay.getSeconds(), delay.getNanos()));
      }
    }
  }
}
