import Foundation
import Pace
import Testing

@testable import WebAPI

@Suite("The console's files", .paced)
struct ConsoleTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Sources/Platform/Web/Console/Assets")

    @Test("every file of the folder is served under its path, and nothing else is")
    func listIsTheFolder() throws {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: Self.folder.path).filter { $0.contains(".") && !$0.hasSuffix("/") }
        #expect(Set(paths.map { "/" + $0 }) == Set(ConsoleAssets.all.keys))
        #expect(Set(paths.map { $0.split(separator: "/").last }).count == paths.count, "two files of one name: SwiftPM would take either")
        for (path, bytes) in ConsoleAssets.all {
            #expect(try Data(contentsOf: Self.folder.appending(path: String(path.dropFirst()))) == Data(bytes), "\(path) is another file's content")
        }
    }

    @Test("unknown addresses are the page itself for a browser that wants one, and missing for everything else")
    func pagesOfTheRouter() throws {
        let files = ConsoleFiles()
        #expect(try files.answer("/bots/01ABC/chat", accept: "text/html,*/*", ifNoneMatch: nil).status == 200)
        for (path, accept) in [("/bots/01ABC/chat", "application/json"), ("/core/none.js", "text/html"), ("/../Package.swift", "text/html")] {
            #expect(throws: (any Error).self) { try files.answer(path, accept: accept, ifNoneMatch: nil) }
        }
    }

    @Test("an export holds the same bytes under the same paths")
    func export() throws {
        let target = FileManager.default.temporaryDirectory.appending(path: "console-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: target) }
        let written = try ConsoleFiles().export(to: target)
        #expect(written.count == ConsoleAssets.all.count && written.contains("index.html"))
        for path in written { #expect(try Data(contentsOf: target.appending(path: path)) == Data(ConsoleAssets.all["/" + path] ?? [])) }
    }
}
