"""Shares a session, reads it, or asks where it came from.

    API_KEY=… sessions.py share [options] <address> <session id> <application id>
    API_KEY=… sessions.py read  [options] <address> <session id>
    API_KEY=… sessions.py trace [options] <address> <session id>

The stubs are generated from the contract, and found on PYTHONPATH:

    python -m grpc_tools.protoc -I proto --python_out=stubs --grpc_python_out=stubs \
        proto/sessionimport/v1/*.proto
"""

import argparse
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2

from sessionimport.v1 import session_read_pb2, session_read_pb2_grpc
from sessionimport.v1 import session_share_pb2, session_share_pb2_grpc
from sessionimport.v1 import session_trace_pb2, session_trace_pb2_grpc


def open_channel(args):
    options = [("grpc.service_config", args.service_config.read_text())]
    # With dns:/// the client connects to all processes of the service; the service config spreads calls
    # over them (round robin).
    target = f"dns:///{args.address}"
    if args.plaintext:
        return grpc.insecure_channel(target, options)
    credentials = grpc.ssl_channel_credentials(args.cacert and args.cacert.read_bytes())
    return grpc.secure_channel(target, credentials, options)


def limits():
    """What goes along with each call. The deadline is for all tries together, in seconds."""
    return {"timeout": 45, "metadata": [("x-api-key", os.environ["API_KEY"])]}


def share(channel, args):
    ttl = Duration()
    ttl.FromTimedelta(timedelta(minutes=15))
    request = session_share_pb2.ShareSessionRequest(
        session_id=args.session_id, for_application_id=args.application_id, ttl=ttl
    )
    stub = session_share_pb2_grpc.SessionShareStub(channel)
    return MessageToDict(stub.ShareSession(request, **limits()), preserving_proto_field_name=True)


def read(channel, args):
    request = session_read_pb2.GetSessionRequest(session_id=args.session_id, relation_page_size=10)
    answer = session_read_pb2_grpc.SessionReadStub(channel).GetSession(request, **limits())
    # Which field of a oneof is set; None: no field.
    kind = answer.WhichOneof("relations")
    logs = getattr(answer, kind).logs if kind else []
    return {
        "session": MessageToDict(answer.session.session, preserving_proto_field_name=True),
        "logs": len(logs),
        "more": [more.relation for more in answer.more],
    }


def trace(channel, args):
    request = session_trace_pb2.GetProvenanceRequest(session_id=args.session_id)
    answer = session_trace_pb2_grpc.SessionTraceStub(channel).GetProvenance(request, **limits())
    return MessageToDict(answer, preserving_proto_field_name=True)


def reason_of(error):
    """The reason of the service, as errors.md lists them; None if gRPC itself has failed the call."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            return error_details_pb2.ErrorInfo.FromString(detail.value).reason
    return None


def main():
    parser = argparse.ArgumentParser(description="Shares, reads or traces a session.")
    parser.add_argument("action", choices=["share", "read", "trace"])
    parser.add_argument("address")
    parser.add_argument("session_id")
    parser.add_argument("application_id", nargs="?", help="for share: who may import it")
    parser.add_argument("--service-config", type=Path, default=Path("proto/service-config.json"))
    parser.add_argument("--plaintext", action="store_true", help="no TLS")
    parser.add_argument("--cacert", type=Path, help="CAs other than the well-known ones")
    args = parser.parse_args()

    with open_channel(args) as channel:
        try:
            answer = {"share": share, "read": read, "trace": trace}[args.action](channel, args)
        except grpc.RpcError as error:
            print(json.dumps({"message": error.details(), "reason": reason_of(error)}, indent=2))
            sys.exit(1)
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
