import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("Notebooks", .paced)
struct NotebookToolTests {
    private static let png = "iVBORw0KGgo="
    /// As Jupyter writes it.
    private static let text = """
        {
         "cells": [
          {
           "cell_type": "markdown",
           "id": "intro",
           "metadata": {},
           "source": [
            "# Title\\n",
            "words"
           ]
          },
          {
           "cell_type": "code",
           "execution_count": 1,
           "id": "calc",
           "metadata": {},
           "outputs": [
            {
             "name": "stdout",
             "output_type": "stream",
             "text": [
              "42\\n"
             ]
            },
            {
             "data": {
              "image/png": "\(png)",
              "text/plain": [
               "<Figure>"
              ]
             },
             "metadata": {},
             "output_type": "display_data"
            }
           ],
           "source": [
            "print(6*7)"
           ]
          }
         ],
         "metadata": {
          "language_info": {
           "name": "python"
          }
         },
         "nbformat": 4,
         "nbformat_minor": 5
        }

        """
    private func edit(_ fields: [String: Value], in world: ToolWorld) async throws -> ToolResult {
        try await world.call(NotebookEditTool(), ["notebook_path": "n.ipynb"].merging(fields) { $1 })
    }

    @Test("Read shows cells with their ids, outputs and pictures")
    func reading() async throws {
        try await ToolWorld.run { world in
            try world.put("n.ipynb", Self.text)
            let result = try await world.read("n.ipynb")
            #expect(result.text.contains("<cell id=\"intro\" type=\"markdown\">\n# Title\nwords\n</cell>"))
            #expect(result.text.contains("<output cell=\"calc\">\n42\n\n</output>") && result.text.contains("a notebook in python with 2 cells"))
            #expect(result.content.contains(.image(mediaType: "image/png", data: Data(base64Encoded: Self.png)!)))
            try world.put("broken.ipynb", "{\"cells\": 3}")
            #expect(try await world.read("broken.ipynb").text.contains("no Jupyter notebook"))
        }
    }

    @Test("a change touches its cell and leaves the rest of the file byte for byte")
    func replacing() async throws {
        try await ToolWorld.run { world in
            try world.put("n.ipynb", Self.text)
            #expect(try await edit(["cell_id": "intro", "new_source": "x"], in: world).text.contains("has not been read yet"))
            _ = try await world.read("n.ipynb")
            #expect(try await edit(["cell_id": "intro", "new_source": "# Title\nwords"], in: world).text == "Replaced cell intro in \(world.folder)/n.ipynb, which now has 2 cells.")
            #expect(try world.content("n.ipynb") == Self.text)
            _ = try await edit(["cell_id": "calc", "new_source": "print(1)\nprint(2)\n"], in: world)
            let notebook = try JSON.value(Data(try world.content("n.ipynb").utf8))
            #expect(notebook["cells"]?.array?[1]["source"] == ["print(1)\n", "print(2)\n"])
            #expect(notebook["cells"]?.array?[1]["outputs"] == [] && notebook["cells"]?.array?[1]["execution_count"] == .null)
            #expect(notebook["cells"]?.array?[0] == (try JSON.value(Data(Self.text.utf8)))["cells"]?.array?[0])
        }
    }

    @Test("cells are inserted at the beginning or after another, deleted, and change their kind")
    func inserting() async throws {
        try await ToolWorld.run { world in
            try world.put("n.ipynb", Self.text)
            _ = try await world.read("n.ipynb")
            _ = try await edit(["edit_mode": "insert", "cell_type": "code", "new_source": "first"], in: world)
            _ = try await edit(["edit_mode": "insert", "cell_type": "markdown", "cell_id": "intro", "new_source": "second"], in: world)
            _ = try await edit(["edit_mode": "delete", "cell_id": "calc", "new_source": ""], in: world)
            _ = try await edit(["cell_id": "intro", "cell_type": "code", "new_source": "1"], in: world)
            let cells = try JSON.value(Data(try world.content("n.ipynb").utf8))["cells"]?.array ?? []
            #expect(cells.map { $0["source"]?.array?.first } == ["first", "1", "second"])
            #expect(cells.map { $0["cell_type"] } == ["code", "code", "markdown"])
            #expect(cells.allSatisfy { $0["id"]?.string?.isEmpty == false } && cells[1]["outputs"] == [] && cells[2]["outputs"] == nil)
        }
    }

    @Test(
        "what cannot be done is said",
        arguments: [
            (["cell_id": "nope", "new_source": "x"], "no cell nope"), (["new_source": "x"], "`cell_id` is missing"),
            (["edit_mode": "insert", "new_source": "x"], "`cell_type` is missing"), (["cell_id": "intro"], "`new_source` is missing"),
            (["cell_id": "intro", "new_source": "x", "cell_type": "raw"], "one of code, markdown"),
            (["notebook_path": "plain.txt", "cell_id": "a", "new_source": "x"], "is no notebook"),
            (["notebook_path": "absent.ipynb", "cell_id": "a", "new_source": "x"], "does not exist"),
        ] as [([String: Value], String)])
    func refusals(_ fields: [String: Value], _ sentence: String) async throws {
        try await ToolWorld.run { world in
            try world.put("n.ipynb", Self.text)
            _ = try await world.read("n.ipynb")
            let result = try await edit(fields, in: world)
            #expect(result.isError && result.text.contains(sentence), "\(result.text)")
            #expect(try world.content("n.ipynb") == Self.text)
        }
    }
}
