import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { mcpMessageOfBody, mcpMessageOfHeaders } from "../src/mcp-message.ts";

function ofBody(text: string): unknown {
  return mcpMessageOfBody(Buffer.from(text));
}

describe("the method and tool of a body", () => {
  test.each([
    ['{"jsonrpc":"2.0","id":1,"method":"tools/list"}', { method: "tools/list" }],
    [
      '{"method":"tools/call","params":{"name":"get_weather","arguments":{"name":"x"}},"jsonrpc":"2.0","id":1}',
      { method: "tools/call", tool: "get_weather" },
    ],
    [
      '{"params":{"arguments":{"name":"x","a":[{"}":"]"}]},"name":"echo"},"method":"tools/call"}',
      { method: "tools/call", tool: "echo" },
    ],
    [
      '  {\n "id" : null , "method" : "tools/call" , "params" : { "_meta" : { } , "name" : "a.b-c/d" } }',
      { method: "tools/call", tool: "a.b-c/d" },
    ],
    ['{"method":"prompts/get","params":{"name":"secret-looking"}}', { method: "prompts/get" }],
    ['{"x":"a\\"b\\\\","y":-1.5e3,"z":[true,null,{}],"method":"ping"}', { method: "ping" }],
    // Cut off behind what is needed.
    [
      '{"method":"tools/call","params":{"name":"echo","arguments":{"text":"unfinis',
      { method: "tools/call", tool: "echo" },
    ],
    ['{"method":"tools/call","params":{"na', { method: "tools/call" }],
  ])("%s", (text, expected) => {
    expect(ofBody(text)).toEqual(expected);
  });

  test.each([
    ["a batch", '[{"method":"tools/list"}]'],
    ["a response", '{"jsonrpc":"2.0","id":1,"result":{"method":"x"}}'],
    ["a nested method", '{"params":{"method":"x"}}'],
    ["an escape", '{"method":"tools\\u002fcall"}'],
    ["no string", '{"method":{"a":1}}'],
    ["a method with a space or control", '{"method":"tools call"}'],
    ["a method of 129 characters", `{"method":"${"x".repeat(129)}"}`],
    ["no JSON", "method=tools/call"],
    ["nothing", ""],
    ["a method beyond the bound", `{"pad":"${"x".repeat(4000)}","method":"tools/list"}`],
  ])("none for %s", (_what, text) => {
    expect(ofBody(text)).toBeUndefined();
  });

  test("a tool name that is no printable token is left out", () => {
    expect(ofBody('{"method":"tools/call","params":{"name":"a b"}}')).toEqual({ method: "tools/call" });
    expect(ofBody(`{"method":"tools/call","params":{"name":"${"x".repeat(129)}"}}`)).toEqual({
      method: "tools/call",
    });
  });

  test("agrees with JSON.parse on every object that has a plain method", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom("a", "id", "params", "result"), fc.jsonValue({ maxDepth: 3 })),
        (members) => {
          const text = JSON.stringify({ ...members, method: "tools/list" });
          if (text.length > 2000) return;
          expect(ofBody(text)).toEqual({ method: "tools/list" });
        },
      ),
    );
  });

  test("survives any octets", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom(
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            '"',
            "\\",
            "a",
            " ",
            "\u0000",
            '"method"',
            '"params"',
            '"name"',
          ),
          {
            maxLength: 40,
          },
        ),
        (parts) => {
          mcpMessageOfBody(Buffer.from(parts.join("")));
        },
      ),
    );
  });
});

test("of header fields", () => {
  expect(mcpMessageOfHeaders("tools/call", "echo")).toEqual({ method: "tools/call", tool: "echo" });
  expect(mcpMessageOfHeaders("resources/read", "file:///secret")).toEqual({ method: "resources/read" });
  expect(mcpMessageOfHeaders(undefined, "echo")).toBeUndefined();
  expect(mcpMessageOfHeaders("a b", "echo")).toBeUndefined();
});
