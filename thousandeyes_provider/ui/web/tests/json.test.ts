import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { asCount, asNumber, asTime, parseXCom, safeUrl } from "../src/model/json";

describe("links", () => {
  it("use http and https only", () => {
    expect(safeUrl("https://app.thousandeyes.com/view?x=1")).toBe("https://app.thousandeyes.com/view?x=1");
    for (const address of [
      "javascript:alert(1)",
      " javascript:alert(1)",
      "java\nscript:alert(1)",
      "data:text/html,x",
      "vbscript:x",
      "//example.com",
      "/relative",
      "",
      null,
      7,
    ]) {
      expect(safeUrl(address)).toBeNull();
    }
  });

  it("never have another scheme, for any text", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.webUrl(),
          fc.string().map((text) => `javascript:${text}`),
        ),
        (text) => {
          const url = safeUrl(text);
          expect(url === null || /^https?:\/\//.test(url)).toBe(true);
        },
      ),
    );
  });
});

describe("values of XCom", () => {
  it("are parsed if Airflow returns the stored text", () => {
    expect(parseXCom('{"verdict": "passed"}')).toEqual({ verdict: "passed" });
    expect(parseXCom({ verdict: "passed" })).toEqual({ verdict: "passed" });
    expect(parseXCom("s3://bucket/key")).toBe("s3://bucket/key");
  });
});

describe("numbers and times", () => {
  it("are null if invalid", () => {
    expect(asNumber(Number.NaN)).toBeNull();
    expect(asNumber("7")).toBeNull();
    expect(asTime("yesterday")).toBeNull();
    expect(asCount(-3)).toBe(0);
  });
});
