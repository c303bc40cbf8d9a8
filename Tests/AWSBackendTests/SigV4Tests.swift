import Foundation
import Pace
import Platform
import Testing

@testable import AWSBackend

@Suite("Signature Version 4", .paced) struct SigV4Tests {
    struct Vector: Decodable {
        var service, region, method, host, path, body, token, date, authorization: String
        var s3: Bool
        var query: [[String]]
        var headers: [[String]]
    }
    private static let keys = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    private func credentials(_ token: String?) -> AWSCredentials {
        AWSCredentials(accessKeyID: Self.keys.0, secretAccessKey: Secret(Self.keys.1), sessionToken: token.map { Secret($0) })
    }
    private func header(_ request: AWSRequest, _ name: String) -> String? { request.headers.first { $0.name.lowercased() == name }?.value }

    /// Made by Tests/Fakes/bedrock/sigv4_vectors.py, whose tests compare the file with what botocore signs now.
    @Test("250 generated requests are signed as botocore signs them") func vectors() throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("sigv4.json")
        let vectors = try JSONDecoder().decode([Vector].self, from: Data(contentsOf: file))
        #expect(vectors.count == 250)
        for vector in vectors {
            let request = AWSRequest(
                method: vector.method, host: vector.host, path: vector.path, query: vector.query.map { ($0[0], $0[1]) },
                headers: vector.headers.map { ($0[0], $0[1]) }, payload: .data(Data(base64Encoded: vector.body)!))
            let signer = SigV4(service: vector.service, region: vector.region, style: vector.s3 ? .s3 : .standard)
            let date = try #require(AWSTime.date(vector.date))
            let signed = signer.sign(request, credentials(vector.token.isEmpty ? nil : vector.token), at: date)
            #expect(header(signed, "authorization") == vector.authorization, "\(vector.method) \(request.url)")
        }
    }

    @Test("a model's full name is one segment, encoded twice in what is signed") func modelPath() {
        let name = "arn:aws:bedrock:us-west-2:1:inference-profile/us.anthropic.x:0"
        let request = AWSRequest(method: "POST", host: "h", path: "/model/\(AWSRequest.percentEncoded(name))/invoke")
        #expect(request.url == "https://h/model/arn%3Aaws%3Abedrock%3Aus-west-2%3A1%3Ainference-profile%2Fus.anthropic.x%3A0/invoke")
    }

    @Test("an unsigned payload is named as such") func unsignedPayload() throws {
        let request = AWSRequest(method: "PUT", host: "data.s3.us-west-2.amazonaws.com", path: "/k", payload: .unsigned(Data("body".utf8)))
        let date = try #require(AWSTime.date("2026-01-02T03:04:05Z"))
        let signed = SigV4(service: "s3", region: "us-west-2", style: .s3).sign(request, credentials("TOKEN/+=="), at: date)
        // Golden vector 5 of the design.
        #expect(header(signed, "authorization")?.hasSuffix("Signature=635b731ed45f0e52babab53aed825eed820a6a8a7219541db30f3157b036dae4") == true)
    }

    @Test("a request that is signed again carries one signature and one date") func again() {
        let signer = SigV4(service: "bedrock", region: "us-west-2")
        let once = signer.sign(AWSRequest(method: "GET", host: "h"), credentials("old"), at: Date(timeIntervalSince1970: 0))
        let twice = signer.sign(once, credentials(nil), at: Date(timeIntervalSince1970: 1_000_000))
        #expect(twice.headers.map(\.name).sorted() == ["authorization", "x-amz-date"])
        #expect(header(twice, "x-amz-date") == "19700112T134640Z")
    }

    @Test("China's regions have hosts of their own; an override keeps its path") func endpoints() {
        #expect(AWSEndpoint(service: "bedrock-runtime", region: "cn-north-1").host == "bedrock-runtime.cn-north-1.amazonaws.com.cn")
        #expect(AWSEndpoint(service: "bedrock-runtime", region: "eu-west-1").host == "bedrock-runtime.eu-west-1.amazonaws.com")
        let override = AWSEndpoint.override("BEDROCK_RUNTIME", environment: ["AWS_ENDPOINT_URL": "http://127.0.0.1:9/x/", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": ""])
        #expect(override?.host == "127.0.0.1:9" && override?.path == "/x" && override?.scheme == "http")
        #expect(AWSEndpoint.override("X", environment: ["AWS_ENDPOINT_URL": "http://h", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"]) == nil)
    }
}
