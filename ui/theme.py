"""How the page looks: Gradio's base theme with quiet colours, and the style of our own HTML.

Flows in: nothing. Flows out: a theme and a style sheet. Fonts are the system's or ship with Gradio; nothing is
fetched from elsewhere. Colours of our HTML are Gradio's variables, so that dark and light follow along.
"""

from __future__ import annotations

from gradio.themes import Base, colors, sizes
from gradio.themes.utils.fonts import Font, LocalFont

ICON = (
    "<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='7' fill='%230f766e'/%3E%3Cpath d='M4 22l8-9 6 6 4-4 6 7z' fill='%23fff'/%3E"
    "%3Ccircle cx='23' cy='9' r='3' fill='%23fde68a'/%3E%3C/svg%3E\">"
)
"""In the page itself: Gradio would show its own logo in the tab."""


def make_theme() -> Base:
    """Teal on slate, small corners, no gradients."""
    # Gradio 6.31 ships only some letters in weight 600, its default for bold; 400 and 700 are whole.
    sans = [LocalFont("IBM Plex Sans", weights=(400, 700)), Font("system-ui"), Font("sans-serif")]
    mono = [LocalFont("IBM Plex Mono", weights=(400, 700)), Font("ui-monospace"), Font("monospace")]
    theme = Base(
        primary_hue=colors.teal,
        secondary_hue=colors.teal,
        neutral_hue=colors.slate,
        radius_size=sizes.radius_sm,
        font=sans,
        font_mono=mono,
    )
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_shadow="none",
        block_border_width="1px",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_text_color="white",
    )


CSS = """
.gradio-container { width: 100%; max-width: 1200px !important; margin: 0 auto !important; padding: 0 !important; }
.gradio-container, .gradio-container .main, .gradio-container .wrap, .gradio-container .contain { min-width: 0; }
.nav-holder { display: none; }
.gradio-container > .main { padding: 0 20px 40px !important; }
.ls-html > .html-container { padding: 0 !important; }
.block.ls-html:has(> .html-container > .prose:empty) { display: none; }
.ls-head { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 24px; padding: 14px 0 12px;
  border-bottom: 1px solid var(--border-color-primary); }
.ls-head h1 { font-size: 1.3rem; font-weight: 600; margin: 0; letter-spacing: -.01em; }
.ls-head p { margin: 0 auto 0 -10px; color: var(--body-text-color-subdued); font-size: .9rem; }
.ls-head nav { display: flex; gap: 4px; }
.ls-head nav a { font-size: .95rem; padding: 5px 12px; border-radius: 6px; text-decoration: none;
  color: var(--body-text-color) !important; }
.ls-head nav a:hover { background: var(--background-fill-secondary); }
.ls-head nav a[aria-current] { background: var(--color-accent-soft); font-weight: 600; text-decoration: none; }
.ls-html, .ls-html * { box-sizing: border-box; }
.ls-html h3 { font-size: .95rem; font-weight: 600; margin: 0 0 8px; }
.ls-html small { color: var(--body-text-color-subdued); font-weight: 400; font-size: .82rem; }
.ls-html code { background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary);
  border-radius: 4px; padding: 1px 5px; font-size: .85em; }

#ls-bands .input-container { gap: 8px; align-items: stretch; }
#ls-bands .submit-button { height: auto; padding: 0 12px; border-radius: 6px; }

.ls-message { display: flex; gap: 10px; padding: 10px 14px; margin: 0 0 8px;
  border: 1px solid var(--border-color-primary);
  border-left: 4px solid var(--tone); border-radius: 6px; background: var(--block-background-fill); line-height: 1.45;
  overflow-wrap: anywhere; }
.ls-message b { color: var(--tone); flex: none; }
.ls-error { --tone: #b42318; } .ls-warning { --tone: #a15c07; } .ls-info { --tone: #0f766e; }
.dark .ls-error { --tone: #fda29b; } .dark .ls-warning { --tone: #fec84b; } .dark .ls-info { --tone: #5eead4; }

.ls-blank, .ls-chart-empty { border: 1px dashed var(--border-color-primary); border-radius: 8px; padding: 28px;
  color: var(--body-text-color-subdued); line-height: 1.6; }
.ls-blank h3 { color: var(--body-text-color); } .ls-blank p { margin: 0 0 8px; max-width: 62ch; }
.ls-blank ul { margin: 0; padding-left: 18px; } .ls-blank small { overflow-wrap: anywhere; }

.ls-gallery > div { display: grid; grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: 8px; }
.ls-gallery button { margin: 0 !important; font-weight: 400; line-height: 1.25;
  border: 1px solid var(--border-color-primary); border-radius: 6px; overflow: hidden; padding: 0;
  background: var(--block-background-fill); cursor: pointer; text-align: left; color: inherit; }
.ls-gallery button:hover, .ls-gallery button:focus-visible { border-color: var(--color-accent);
  outline: 2px solid var(--color-accent); outline-offset: 0; }
.ls-gallery img, .ls-gallery i { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; margin: 0;
  background: var(--background-fill-secondary); }
.ls-gallery span { display: block; padding: 3px 6px 4px; font-size: .72rem; line-height: 1.25; overflow: hidden;
  overflow-wrap: anywhere; height: 2.9em; }

.ls-figure { margin: 0; } .ls-figure img { display: block; width: 100%; max-width: 480px; aspect-ratio: 1; margin: 0;
  border-radius: 6px; image-rendering: pixelated; background: var(--background-fill-secondary); }
.ls-figure figcaption { margin-top: 6px; font-size: .82rem; line-height: 1.45; color: var(--body-text-color-subdued);
  max-width: 480px; }
.ls-waiting { display: grid; place-items: center; max-width: 480px; aspect-ratio: 1; border-radius: 6px;
  border: 1px dashed var(--border-color-primary); color: var(--body-text-color-subdued); font-size: .88rem; }
.ls-scale { display: flex; align-items: center; gap: 8px; margin-bottom: 4px; }
.ls-scale i { flex: 1; height: 10px; border-radius: 3px; border: 1px solid var(--border-color-primary);
  background-color: #8a8f98 !important; }

.ls-labels ol { list-style: none; margin: 0; padding: 0; }
.ls-labels li { display: grid; grid-template-columns: 16px minmax(0, 1fr) minmax(90px, 34%) 52px; gap: 8px;
  align-items: center; padding: 5px 0; border-bottom: 1px solid var(--border-color-primary); line-height: 1.3;
  margin: 0; font-size: .9rem; }
.ls-labels li.ls-none { display: block; color: var(--body-text-color-subdued); }
.ls-on .ls-name { font-weight: 600; } .ls-off { color: var(--body-text-color-subdued); }
.ls-sign { font-weight: 700; text-align: center; color: var(--color-accent); }
.ls-bar { position: relative; display: block; height: 14px; border-radius: 3px; overflow: visible;
  background: var(--background-fill-secondary); box-shadow: inset 0 0 0 1px var(--border-color-primary); }
.ls-bar i { display: block; height: 100%; min-width: 2px; border-radius: 3px; background: var(--class);
  box-shadow: inset 0 0 0 1px rgb(0 0 0 / .35); }
.ls-off .ls-bar i { background: repeating-linear-gradient(135deg, var(--class) 0 3px, transparent 3px 6px); }
.ls-bar b, .ls-tick { position: absolute; top: -4px; bottom: -4px; width: 2px; margin-left: -1px;
  background: var(--body-text-color); box-shadow: 0 0 0 1px var(--body-background-fill); }
.ls-tick { position: static; display: inline-block; height: 14px; vertical-align: -2px; margin: 0 6px 0 2px; }
.ls-number { text-align: right; font-variant-numeric: tabular-nums; }
.ls-labels summary { cursor: pointer; font-weight: 600; font-size: .95rem; margin: 16px 0 6px; }
.ls-labels .ls-key { margin: 10px 0 0; font-size: .8rem; color: var(--body-text-color-subdued); }

.ls-facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: 10px 24px; margin: 8px 0 0;
  padding: 14px 0 0; border-top: 1px solid var(--border-color-primary); }
.ls-facts dt, .ls-summary dt { font-size: .76rem; color: var(--body-text-color-subdued); }
.ls-facts dd { margin: 0; font-size: .88rem; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.ls-summary { display: flex; flex-wrap: wrap; gap: 10px 36px; margin: 4px 0; }
.ls-summary dd { margin: 0; font-size: 1.02rem; font-weight: 600; font-variant-numeric: tabular-nums; }

.ls-choices { align-items: end; } .ls-choices button { margin-bottom: 11px; min-height: 38px; }
.ls-chart { margin: 0; } .ls-chart figcaption { display: flex; flex-wrap: wrap; gap: 4px 20px; margin-bottom: 14px; }
.ls-chart .ls-key { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: .82rem; }
.ls-chart .ls-key svg { width: 24px; height: 6px; display: inline-block; margin-right: 6px; vertical-align: 2px; }
.ls-plot { position: relative; height: 300px; margin: 0 12px 0 46px; }
.ls-plot > svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.ls-plot i { position: absolute; font-style: normal; font-size: .74rem; color: var(--body-text-color-subdued);
  font-variant-numeric: tabular-nums; }
.ls-y { right: calc(100% + 8px); transform: translateY(50%); }
.ls-x { top: calc(100% + 6px); transform: translateX(-50%); }
.ls-axis { text-align: center; font-size: .76rem; color: var(--body-text-color-subdued); margin-top: 26px; }
.ls-chart path { fill: none; vector-effect: non-scaling-stroke; stroke-linecap: round; stroke-linejoin: round; }
.ls-grid { stroke: var(--border-color-primary); stroke-width: 1; }
.ls-line { --ink: #64748b; } .ls-line .ls-stroke { stroke: var(--ink); stroke-width: 1.5; }
.ls-line .ls-dots { stroke: var(--ink); stroke-width: 4; } .ls-line .ls-hit { stroke: transparent; stroke-width: 12; }
.ls-line.ls-best { --ink: #0f766e; } .ls-line.ls-best .ls-stroke { stroke-width: 3.5; }
.ls-line.ls-best .ls-dots { stroke-width: 7; } .ls-line.ls-running { --ink: #c2570c; }
.ls-line.ls-pruned, .ls-line.ls-paused { --ink: #94a3b8; } .ls-line.ls-pruned .ls-stroke { stroke-dasharray: 5 4; }
.ls-line.ls-failed { --ink: #b42318; } .ls-line.ls-failed .ls-stroke { stroke-dasharray: 1 4; }
.dark .ls-line { --ink: #94a3b8; }
.dark .ls-line.ls-best { --ink: #2dd4bf; }
.dark .ls-line.ls-running { --ink: #fb923c; }
.dark .ls-line.ls-pruned, .dark .ls-line.ls-paused { --ink: #64748b; } .dark .ls-line.ls-failed { --ink: #fda29b; }
.ls-plot .ls-line:hover { --ink: var(--body-text-color) !important; }
.ls-plot .ls-line:hover .ls-stroke { stroke-width: 3; }

.ls-table { overflow-x: auto; border: 1px solid var(--border-color-primary); border-radius: 6px; }
.ls-table table, .ls-table tr { border: 0 !important; }
.ls-table table { border-collapse: separate; border-spacing: 0; background: var(--block-background-fill); width: 100%;
  font-size: .86rem; font-variant-numeric: tabular-nums; margin: 0; }
.ls-table th, .ls-table td { padding: 7px 12px; text-align: left; white-space: nowrap; border: 0;
  border-bottom: 1px solid var(--border-color-primary); }
.ls-table tbody tr:last-child > * { border-bottom: 0; }
.ls-table thead th { font-weight: 500; font-size: .78rem; color: var(--body-text-color-subdued);
  background: var(--background-fill-secondary); }
.ls-table th[scope=row], .ls-table thead th:first-child { position: sticky; left: 0; z-index: 1; }
.ls-table th[scope=row] { font-weight: 500; background: var(--block-background-fill); }
.ls-table tr.ls-is-best > td, .ls-table tr.ls-is-best > th[scope=row] { font-weight: 600;
  background: var(--color-accent-soft); }
.ls-best-mark { color: #0f766e; font-size: .78rem; } .dark .ls-best-mark { color: #5eead4; }
.ls-more { display: none; margin: 0 0 4px; font-size: .78rem; text-align: right;
  color: var(--body-text-color-subdued); }
.ls-table td.ls-reason { white-space: normal; min-width: 22ch; }
.ls-table .ls-failed { color: #b42318; } .dark .ls-table .ls-failed { color: #fda29b; }
@media (max-width: 800px) { .ls-more { display: block; } }
@media (max-width: 520px) {
  .ls-head p { display: none; } .ls-head h1 { margin-right: auto; }
  .ls-labels li { grid-template-columns: 14px minmax(0, 1fr) 52px; row-gap: 3px; }
  .ls-bar { grid-column: 2 / 3; grid-row: 2; } .ls-number { grid-column: 3; grid-row: 2; }
  .ls-gallery > div { grid-template-columns: none; grid-auto-flow: column; grid-auto-columns: 84px; overflow-x: auto;
    padding: 2px; }
  .ls-name { grid-column: 2 / 4; } .ls-blank { padding: 18px; } .ls-plot { height: 240px; margin-left: 40px; }
}
"""
