using System;
using System.Globalization;
using System.IO;
using System.Net.Http;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Threading.Tasks;
using Google.Protobuf;
using Google.Rpc;
using Grpc.Core;
using Grpc.Net.Client;
using Grpc.Net.Client.Configuration;
using Grpc.StatusProto;
using SessionImport.V1;
// `SessionImport` alone is the namespace.
using SessionImportClient = SessionImport.V1.SessionImport.SessionImportClient;

/// <summary>
/// Imports a session that another application has shared:
/// <c>ImportSession &lt;https://host:port&gt; &lt;share token&gt; &lt;workflow id&gt;</c>
/// </summary>
/// <remarks>
/// In the environment: API_KEY; CACERT for CAs other than the well-known ones; CERT and KEY for
/// mutual TLS. An address that starts with http:// is called without TLS.
/// </remarks>
public static class Program
{
    public static async Task<int> Main(string[] args)
    {
        var request = new ImportSessionRequest
        {
            ShareToken = args[1],
            WorkflowId = args[2],
            TrustReview = true,
        };
        // One channel for the whole program: it connects, and connects anew, by itself.
        using (var channel = OpenChannel(args[0]))
        {
            try
            {
                Console.WriteLine(JsonFormatter.Default.Format(await Import(channel, request)));
                return 0;
            }
            catch (RpcException failure)
            {
                Describe(failure);
                return 1;
            }
        }
    }

    static GrpcChannel OpenChannel(string address)
    {
        return GrpcChannel.ForAddress(address, new GrpcChannelOptions
        {
            HttpHandler = new SocketsHttpHandler { SslOptions = TlsOptions() },
            ServiceConfig = ReadServiceConfig("proto/service-config.json"),
        });
    }

    /// <summary>TLS with the well-known CAs, unless there are files that say otherwise.</summary>
    static SslClientAuthenticationOptions TlsOptions()
    {
        var options = new SslClientAuthenticationOptions();
        var caCert = Environment.GetEnvironmentVariable("CACERT");
        if (caCert != null)
        {
            options.CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck,
            };
            options.CertificateChainPolicy.CustomTrustStore.ImportFromPemFile(caCert);
        }
        var cert = Environment.GetEnvironmentVariable("CERT");
        if (cert != null)
        {
            var key = Environment.GetEnvironmentVariable("KEY");
            options.ClientCertificates = new X509CertificateCollection
            {
                X509Certificate2.CreateFromPemFile(cert, key),
            };
        }
        return options;
    }

    /// <summary>Grpc.Net.Client takes no JSON, and knows all of the file but `timeout`.</summary>
    static ServiceConfig ReadServiceConfig(string file)
    {
        using (var json = JsonDocument.Parse(File.ReadAllText(file)))
        {
            var method = json.RootElement.GetProperty("methodConfig")[0];
            var retry = method.GetProperty("retryPolicy");
            var throttling = json.RootElement.GetProperty("retryThrottling");
            var policy = new RetryPolicy
            {
                MaxAttempts = retry.GetProperty("maxAttempts").GetInt32(),
                InitialBackoff = Duration(retry.GetProperty("initialBackoff")),
                MaxBackoff = Duration(retry.GetProperty("maxBackoff")),
                BackoffMultiplier = retry.GetProperty("backoffMultiplier").GetDouble(),
            };
            foreach (var code in retry.GetProperty("retryableStatusCodes").EnumerateArray())
            {
                // From RESOURCE_EXHAUSTED to ResourceExhausted.
                var name = code.GetString().Replace("_", "");
                policy.RetryableStatusCodes.Add(Enum.Parse<StatusCode>(name, ignoreCase: true));
            }
            var service = method.GetProperty("name")[0].GetProperty("service").GetString();
            return new ServiceConfig
            {
                // With an address dns:///host:port, calls take turns over all processes behind that name.
                LoadBalancingConfigs = { new RoundRobinConfig() },
                MethodConfigs =
                {
                    new MethodConfig
                    {
                        Names = { new MethodName { Service = service } },
                        RetryPolicy = policy,
                    },
                },
                RetryThrottling = new RetryThrottlingPolicy
                {
                    MaxTokens = throttling.GetProperty("maxTokens").GetInt32(),
                    TokenRatio = throttling.GetProperty("tokenRatio").GetDouble(),
                },
            };
        }
    }

    static TimeSpan Duration(JsonElement text)
    {
        var seconds = text.GetString().TrimEnd('s');
        return TimeSpan.FromSeconds(double.Parse(seconds, CultureInfo.InvariantCulture));
    }

    static async Task<ImportSessionResponse> Import(GrpcChannel channel, ImportSessionRequest request)
    {
        var headers = new Metadata
        {
            { "x-api-key", Environment.GetEnvironmentVariable("API_KEY") },
        };
        // For all tries together.
        var deadline = DateTime.UtcNow.AddSeconds(45);
        return await new SessionImportClient(channel).ImportSessionAsync(request, headers, deadline);
    }

    /// <summary>Prints what is known of a failed call: its code, and what the service says.</summary>
    static void Describe(RpcException failure)
    {
        Console.WriteLine($"{failure.StatusCode}: {failure.Status.Detail}");
        var status = failure.GetRpcStatus();
        var info = status?.GetDetail<ErrorInfo>();
        if (info != null)
        {
            Console.WriteLine($"reason: {info.Reason}, metadata: {info.Metadata}");
        }
        var badRequest = status?.GetDetail<BadRequest>();
        if (badRequest != null)
        {
            foreach (var violation in badRequest.FieldViolations)
            {
                Console.WriteLine($"{violation.Field} {violation.Description}");
            }
        }
        var resource = status?.GetDetail<ResourceInfo>();
        if (resource != null)
        {
            Console.WriteLine($"no {resource.ResourceType} {resource.ResourceName}");
        }
        var retry = status?.GetDetail<RetryInfo>();
        if (retry != null)
        {
            Console.WriteLine($"retry after: {retry.RetryDelay.ToTimeSpan()}");
        }
    }
}
