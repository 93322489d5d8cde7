"""Starts the policy pack: ``python policies <engine address>``; prints the port it listens on."""

from pulumi.runtime.proto import analyzer_pb2_grpc

from policies.servicer import Servicer
from providers.serving import serve

if __name__ == "__main__":
    serve(Servicer(), analyzer_pb2_grpc.add_AnalyzerServicer_to_server)
