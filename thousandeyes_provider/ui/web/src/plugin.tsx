/** Entry point of the build for Airflow, which imports the script and reads the component from a global variable. */
import * as React from "react";
import { App } from "./App";
import type { HostParameters } from "./model/location";
import css from "./styles.css?inline";

function ThousandEyesPages(host: HostParameters) {
  return (
    <>
      <style>{css}</style>
      <App {...host} />
    </>
  );
}

// The name of the variable is that of the app (see plugin.py).
Reflect.set(globalThis, "ThousandEyes", ThousandEyesPages);
