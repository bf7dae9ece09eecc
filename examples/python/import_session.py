"""Imports a session that another application has shared.

    API_KEY=… import_session.py [options] <address> <share token> <workflow id>

The stubs are generated from the contract, and found on PYTHONPATH:

    python -m grpc_tools.protoc -I proto --python_out=stubs --grpc_python_out=stubs \
        proto/sessionimport/v1/*.proto
"""

import argparse
import json
import os
import sys
from pathlib import Path

import grpc
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2

from sessionimport.v1 import session_import_pb2, session_import_pb2_grpc


def open_channel(args):
    options = [("grpc.service_config", args.service_config.read_text())]
    if args.plaintext:
        return grpc.insecure_channel(args.address, options)
    # Without files: TLS with the well-known CAs. With a certificate and its key: mutual TLS.
    files = (args.cacert, args.key, args.cert)
    credentials = grpc.ssl_channel_credentials(*(file and file.read_bytes() for file in files))
    return grpc.secure_channel(args.address, credentials, options)


def import_session(channel, args):
    stub = session_import_pb2_grpc.SessionImportStub(channel)
    request = session_import_pb2.ImportSessionRequest(
        share_token=args.share_token,
        workflow_id=args.workflow_id,
        vendor_data=args.vendor_data,
        trust_review=args.trust_review,
        # To be made up for each import and kept with its record, so that asking again gets the same answer.
        request_id=args.request_id,
    )
    # The deadline is for all tries together, in seconds.
    return stub.ImportSession(request, timeout=45, metadata=[("x-api-key", os.environ["API_KEY"])])


def describe(error):
    """What a failed call says: its code, and the details of the service if it has any."""
    description = {"code": error.code().name, "message": error.details()}
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            description |= {"reason": info.reason, "metadata": dict(info.metadata)}
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad_request = error_details_pb2.BadRequest.FromString(detail.value)
            description["field_violations"] = [
                {"field": violation.field, "description": violation.description}
                for violation in bad_request.field_violations
            ]
        elif detail.Is(error_details_pb2.ResourceInfo.DESCRIPTOR):
            resource = error_details_pb2.ResourceInfo.FromString(detail.value)
            description["resource"] = {
                "type": resource.resource_type,
                "name": resource.resource_name,
            }
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo.FromString(detail.value)
            description["retry_delay"] = retry.retry_delay.ToTimedelta().total_seconds()
    return description


def main():
    parser = argparse.ArgumentParser(description="Imports a shared session.")
    parser.add_argument("address")
    parser.add_argument("share_token")
    parser.add_argument("workflow_id")
    parser.add_argument("--vendor-data")
    parser.add_argument("--trust-review", action="store_true")
    parser.add_argument("--request-id", help="a UUID")
    parser.add_argument("--service-config", type=Path, default=Path("proto/service-config.json"))
    parser.add_argument("--plaintext", action="store_true", help="no TLS")
    parser.add_argument("--cacert", type=Path, help="CAs other than the well-known ones")
    parser.add_argument("--cert", type=Path, help="for mutual TLS: the client's certificate")
    parser.add_argument("--key", type=Path, help="for mutual TLS: its key")
    args = parser.parse_args()

    with open_channel(args) as channel:
        try:
            answer = MessageToDict(import_session(channel, args), preserving_proto_field_name=True)
        except grpc.RpcError as error:
            print(json.dumps(describe(error), indent=2))
            sys.exit(1)
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
