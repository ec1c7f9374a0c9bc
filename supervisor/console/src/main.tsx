import { render } from "preact";
import { App } from "./app";
import { begin } from "./session";
import { follow } from "./store";
import "./styles.css";

follow();
begin();
render(<App />, document.getElementById("app")!);
