import Foundation
import Platform

// Conditions × types, and what changes do. The tables below are the meaning; every backend must agree with each row.

extension RecordStorePromises {
    /// The record that conditions are tried on.
    static let sample: Document = [
        "i": 5, "d": .double(5.5), "w": .double(5.0), "t": "hello", "b": true, "nil": .null,
        "l": .array([1, "two", .double(3.0)]), "six": 6, "big": .int(9_007_199_254_740_993),
        "m": .object(["x": 1, "y": .object(["z": "deep"]), "a.b": 2]), "e": .object([:]), "el": .array([]), "empty": "",
        "tag": "two", "umlaut": "für",
        "rows": .array([.object(["n": 1]), .object(["n": 2])]),
    ]

    static let rows: [(Condition, Bool)] = [
        (.recordExists, true), (.recordAbsent, false), (.exists("i"), true), (.exists("nil"), true), (.exists("x"), false),
        (.absent("x"), true),
        (.absent("nil"), false), (.exists("m.x"), true), (.exists("m.y.z"), true), (.exists("m.q"), false),
        (.exists("i.q"), false),
        (.exists("l[0]"), true), (.exists("l[9]"), false), (.exists("rows[1].n"), true),
        (.exists(Path("m").appending("a.b")), true), (.exists("m.a.b"), false),
        // equals
        (.equals("i", 5), true), (.equals("i", 6), false), (.equals("w", 5), true), (.equals("i", .value(.double(5))), true),
        (.equals("d", .value(.double(5.5))), true),
        (.equals("t", "hello"), true), (.equals("t", "Hello"), false), (.equals("b", true), true), (.equals("b", false), false),
        (.equals("b", 1), false),
        (.equals("i", "5"), false), (.equals("x", 5), false), (.equals("nil", 0), false), (.equals("empty", ""), true),
        (.equals("m.y.z", "deep"), true),
        (.equals("l[1]", "two"), true), (.equals("l[2]", 3), true), (.equals("l", .value(.array([.double(1), "two", 3]))), true),
        (.equals("m", .value(.object(["x": 1]))), false), (.equals("e", .value(.object([:]))), true),
        (.equals("el", .value(.array([]))), true),
        (.equals("e", .value(.array([]))), false), (.equals("tag", .path("l[1]")), true), (.equals("i", .path("w")), true),
        (.equals("i", .path("x")), false),
        (.equals("big", .value(.int(9_007_199_254_740_993))), true), (.equals("big", .value(.int(9_007_199_254_740_992))), false),
        // notEquals: absent counts as different
        (.notEquals("i", 5), false), (.notEquals("i", 6), true), (.notEquals("i", "5"), true), (.notEquals("x", 5), true),
        (.notEquals("nil", 5), true),
        (.notEquals("w", 5), false), (.notEquals("m.q", "a"), true), (.notEquals("i", .path("six")), true),
        (.notEquals("i", .path("x")), true),
        // order
        (.lessThan("i", 6), true), (.lessThan("i", 5), false), (.lessThan("i", .value(.double(5.1))), true),
        (.lessThan("d", 6), true), (.lessThan("i", .path("six")), true),
        (.lessThan("i", "6"), false), (.lessThan("x", 6), false), (.lessThan("nil", 6), false), (.lessThan("t", "i"), true),
        (.lessThan("t", "hello"), false),
        (.lessThan("b", true), false), (.lessThan("umlaut", "g"), true), (.lessThan("l", 9), false),
        (.lessThan("i", .path("x")), false),
        (.lessThan("big", .value(.int(9_007_199_254_740_994))), true),
        (.atMost("i", 5), true), (.atMost("i", 4), false), (.atMost("t", "hello"), true), (.atMost("x", 5), false),
        (.atMost("i", .path("d")), true),
        (.greaterThan("i", 4), true), (.greaterThan("i", 5), false), (.greaterThan("t", "hell"), true),
        (.greaterThan("x", 0), false), (.greaterThan("t", 0), false),
        (.atLeast("i", 5), true), (.atLeast("i", 6), false), (.atLeast("d", .path("i")), true), (.atLeast("x", 0), false),
        (.atLeast("nil", 0), false),
        (.between("i", 5, 6), true), (.between("i", 4, 5), true), (.between("i", 6, 9), false), (.between("i", 9, 1), false),
        (.between("t", "h", "i"), true),
        (.between("t", 1, "z"), false), (.between("x", 0, 9), false), (.between("i", .path("w"), .path("six")), true),
        // oneOf, beginsWith, contains
        (.oneOf("i", [1, 5]), true), (.oneOf("i", ["5"]), false), (.oneOf("t", ["a", "hello"]), true),
        (.oneOf("x", ["a"]), false), (.oneOf("w", [5]), true),
        (.beginsWith("t", "he"), true), (.beginsWith("t", "hello!"), false), (.beginsWith("i", "5"), false),
        (.beginsWith("x", "a"), false),
        (.beginsWith("umlaut", "f"), true), (.contains("t", "ell"), true), (.contains("t", "xyz"), false),
        (.contains("l", "two"), true), (.contains("l", "tw"), false),
        (.contains("l", 1), true), (.contains("l", 3), true), (.contains("l", 9), false), (.contains("m", "x"), false),
        (.contains("i", 5), false),
        (.contains("x", "a"), false), (.contains("l", .path("tag")), true), (.contains("umlaut", "ür"), true),
        (.contains("rows", .value(.object(["n": 2]))), true),
        // count: bytes of a string, elements of a list or map
        (.count("t", .equals, 5), true), (.count("umlaut", .equals, 4), true), (.count("l", .equals, 3), true),
        (.count("m", .equals, 3), true), (.count("e", .equals, 0), true),
        (.count("e", .lessThan, 1), true), (.count("l", .lessThan, 3), false), (.count("l", .atMost, 3), true),
        (.count("l", .greaterThan, 2), true),
        (.count("l", .atLeast, 4), false), (.count("i", .equals, 1), false), (.count("x", .lessThan, 5), false),
        (.count("l", .lessThan, .path("i")), true),
        (.count("m", .lessThan, .path("m.x")), false), (.count("empty", .equals, 0), true),
        // and, or, not
        (.and([]), true), (.and([.equals("i", 5), .equals("b", true)]), true),
        (.and([.equals("i", 5), .equals("b", false)]), false),
        (.or([.equals("i", 9), .equals("b", true)]), true), (.or([.equals("i", 9), .equals("b", false)]), false),
        (.not(.equals("i", 5)), false),
        (.not(.equals("x", 5)), true), (.not(.lessThan("x", 5)), true),
        (.not(.and([.exists("i"), .or([.exists("x"), .exists("t")])])), false),
    ]
    /// The same on an absent record.
    static let rowsOnNothing: [(Condition, Bool)] = [
        (.recordAbsent, true), (.recordExists, false), (.absent("a"), true), (.exists("a"), false), (.notEquals("a", 1), true),
        (.equals("a", 1), false),
        (.lessThan("a", 1), false), (.not(.exists("a")), true), (.and([]), true), (.or([.recordAbsent, .equals("a", 1)]), true),
        (.count("a", .lessThan, 9), false),
    ]

    static let conditions: [Promise<RecordStoreHarness>] = [
        promise("conditions mean what their table says, in a check") { store, _ in
            try await store.put(key("p", "s"), sample)
            for (condition, expected) in rows {
                try expect(
                    try await holds(condition) { try await store.transact([.check(key("p", "s"), if: condition)]) }, is: expected,
                    "\(condition)")
            }
        },
        promise("conditions mean the same on puts and updates") { store, _ in
            try await store.put(key("p", "s"), sample)
            for (condition, expected) in rows {
                try expect(
                    try await holds(condition) { try await store.put(key("p", "s"), sample, if: condition) }, is: expected,
                    "put if \(condition)")
                try expect(
                    try await holds(condition) { try await store.update(key("p", "s"), [.set("t", "hello")], if: condition) },
                    is: expected, "update if \(condition)")
            }
        },
        promise("conditions mean the same as filters of a query") { store, _ in
            try await store.put(key("p", "s"), sample)
            for (condition, expected) in rows {
                let found = try await pages(store, RecordQuery(table, partition: "p", filter: condition))
                try expect(found.count == 1, is: expected, "filter \(condition)")
            }
        },
        promise("on an absent record every path is absent") { store, _ in
            for (condition, expected) in rowsOnNothing {
                try expect(
                    try await holds(condition) { try await store.transact([.check(key("p", "none"), if: condition)]) },
                    is: expected, "\(condition)")
            }
        },
        promise("comparing with null is refused") { store, _ in
            try await expectInvalid("null") { try await store.put(key("p", "s"), [:], if: .equals("a", .value(.null))) }
        },
    ]

    private static func holds(_ condition: Condition, _ body: () async throws -> Void) async throws -> Bool {
        do { try await body() } catch RecordStoreError.conditionFailed { return false }
        return true
    }

    // MARK: Changes

    static let changeRows: [(String, Document, [Change], Document?)] = [
        ("set", ["a": 1], [.set("a", "x"), .set("b", .null)], ["a": "x", "b": .null]),
        ("nested set", ["m": .object(["x": 1])], [.set("m.x", 2), .set("m.y", 3)], ["m": .object(["x": 2, "y": 3])]),
        (
            "set under a name with a dot", ["m": .object([:])], [.set(Path("m").appending("a.b#c"), 1)],
            ["m": .object(["a.b#c": 1])]
        ),
        ("set of a list element", ["l": .array([1, 2])], [.set("l[1]", "x")], ["l": .array([1, "x"])]),
        ("set past the end of a list appends", ["l": .array([1])], [.set("l[7]", 2)], ["l": .array([1, 2])]),
        (
            "set inside a list element", ["l": .array([.object(["n": 1])])], [.set("l[0].n", 2)],
            ["l": .array([.object(["n": 2])])]
        ),
        ("set without parent", ["a": 1], [.set("m.x", 1)], nil),
        ("set under a number", ["a": 1], [.set("a.x", 1)], nil),
        ("set deep without parent", ["m": .object([:])], [.set("m.x.y", 1)], nil),
        ("setIfAbsent on absent", [:], [.setIfAbsent("a", 1)], ["a": 1]),
        ("setIfAbsent on present", ["a": 1], [.setIfAbsent("a", 2)], ["a": 1]),
        ("setIfAbsent on null", ["a": .null], [.setIfAbsent("a", 2)], ["a": .null]),
        ("setIfAbsent without parent", [:], [.setIfAbsent("m.x", 2)], nil),
        ("add", ["n": 1], [.add("n", 4)], ["n": 5]),
        ("add to absent", [:], [.add("n", -4)], ["n": -4]),
        ("add to a fraction", ["n": .double(1.5)], [.add("n", 1)], ["n": .double(2.5)]),
        ("nested add", ["m": .object(["n": 1])], [.add("m.n", 1), .add("m.k", 1)], ["m": .object(["n": 2, "k": 1])]),
        ("add to text", ["n": "1"], [.add("n", 1)], nil),
        ("add without parent", [:], [.add("m.n", 1)], nil),
        ("append", ["l": .array([1])], [.append("l", [2, "x"])], ["l": .array([1, 2, "x"])]),
        ("append to absent", [:], [.append("l", [2])], ["l": .array([2])]),
        ("append to text", ["l": "x"], [.append("l", [2])], nil),
        ("remove", ["a": 1, "b": 2], [.remove("a")], ["b": 2]),
        ("remove absent", ["b": 2], [.remove("a")], ["b": 2]),
        ("nested remove", ["m": .object(["x": 1, "y": 2])], [.remove("m.x")], ["m": .object(["y": 2])]),
        (
            "remove list elements, indexes as they were", ["l": .array([1, 2, 3, 4])], [.remove("l[1]"), .remove("l[3]")],
            ["l": .array([1, 3])]
        ),
        ("no change", ["a": 1], [], ["a": 1]),
        (
            "many at once", ["a": 1, "m": .object(["k": 1])],
            [.set("a", 2), .add("n", 1), .remove("m.k"), .append("l", [1]), .setIfAbsent("z", 0)],
            ["a": 2, "n": 1, "m": .object([:]), "l": .array([1]), "z": 0]
        ),
        ("overlap with a parent", ["m": .object([:])], [.set("m", 1), .set("m.x", 1)], nil),
        ("overlap with itself", ["a": 1], [.add("a", 1), .add("a", 1)], nil),
        ("overlap of list and element", ["l": .array([1])], [.append("l", [1]), .set("l[0]", 1)], nil),
        ("siblings do not overlap", ["m": .object([:])], [.set("m.x", 1), .set("m.xy", 1)], ["m": .object(["x": 1, "xy": 1])]),
    ]

    static let changes: [Promise<RecordStoreHarness>] = [
        promise("changes do what their table says, or are refused and do nothing") { store, _ in
            for (number, (name, before, changes, after)) in changeRows.enumerated() {
                let k = key("p", "row\(number)")
                try await store.put(k, before)
                if let after {
                    try expect(try await store.update(k, changes).document, is: after, name)
                } else {
                    try await expectInvalid(name) { try await store.update(k, changes) }
                }
                try expect(try await store.get(k)?.document, is: after ?? before, name)
            }
        },
        promise("an update whose condition fails is that, not an invalid write") { store, _ in
            try await store.put(key("p", "s"), ["a": 1])
            try await expectConditionFailed(current: ["a": 1]) {
                try await store.update(key("p", "s"), [.set("no.parent", 1)], if: .equals("a", 2))
            }
        },
    ]
}
