// Command import-session imports a session that another application has shared.
//
//	API_KEY=… import-session [flags] <address> <share token> <workflow id>
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "example.com/import-session/sessionimportv1"
)

var (
	vendorData    = flag.String("vendor-data", "", "your own name for the person or company")
	trustReview   = flag.Bool("trust-review", false, "keep the original's status")
	serviceConfig = flag.String("service-config", "proto/service-config.json", "the gRPC service config")
	plaintext     = flag.Bool("plaintext", false, "no TLS")
	caCert        = flag.String("cacert", "", "CAs other than the well-known ones")
	cert          = flag.String("cert", "", "for mutual TLS: the client's certificate")
	key           = flag.String("key", "", "for mutual TLS: its key")
)

func main() {
	flag.Parse()
	if flag.NArg() != 3 {
		flag.Usage()
		os.Exit(2)
	}
	response, err := run(flag.Arg(0), flag.Arg(1), flag.Arg(2))
	if err != nil {
		description, _ := json.MarshalIndent(describe(err), "", "  ")
		fmt.Println(string(description))
		os.Exit(1)
	}
	fmt.Println(protojson.Format(response))
}

func run(address, shareToken, workflowID string) (*pb.ImportSessionResponse, error) {
	conn, err := dial(address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	request := &pb.ImportSessionRequest{
		ShareToken:  shareToken,
		WorkflowId:  workflowID,
		TrustReview: *trustReview,
	}
	if *vendorData != "" {
		request.VendorData = proto.String(*vendorData)
	}
	return importSession(conn, request)
}

// dial makes the one channel of the whole program, which connects anew by itself.
func dial(address string) (*grpc.ClientConn, error) {
	config, err := os.ReadFile(*serviceConfig)
	if err != nil {
		return nil, err
	}
	transport, err := transportCredentials()
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(string(config)))
}

// transportCredentials are for TLS with the well-known CAs, unless there are files that say
// otherwise; with a certificate of the client, for mutual TLS.
func transportCredentials() (credentials.TransportCredentials, error) {
	if *plaintext {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if *caCert != "" {
		pem, err := os.ReadFile(*caCert)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("no certificate in " + *caCert)
		}
	}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

func importSession(conn *grpc.ClientConn, request *pb.ImportSessionRequest) (*pb.ImportSessionResponse, error) {
	// The deadline is for all tries together.
	ctx, cancel := context.WithTimeout(context.Background(), 45*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "x-api-key", os.Getenv("API_KEY"))
	return pb.NewSessionImportClient(conn).ImportSession(ctx, request)
}

// describe tells what is known of a failed call: its code, and what the service says about it.
func describe(err error) map[string]any {
	failure := status.Convert(err)
	description := map[string]any{"code": failure.Code().String(), "message": failure.Message()}
	for _, detail := range failure.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			description["reason"] = detail.GetReason()
			description["metadata"] = detail.GetMetadata()
		case *errdetails.BadRequest:
			description["fieldViolations"] = detail.GetFieldViolations()
		case *errdetails.ResourceInfo:
			description["resource"] = detail
		case *errdetails.RetryInfo:
			description["retryDelay"] = detail.GetRetryDelay().AsDuration().String()
		}
	}
	return description
}
